// Key names in Redis. A run id is a hash of corpus, model and recipe, so two outputs may hold the
// same run. Therefore every name that belongs to a run contains its output.
//
//   {reembed}:embed:<job id>            a job, as BullMQ stores it
//   {reembed}:run:<run key>[:...]       progress, budget and finalize lease of a run
//
//   run key   <output id>.<run>         for example dev-k3v5q2xw7a.q2vz...
//   job id    <run key>.<shard>         the shard has 7 digits, so ids sort by shard

import { idOf } from '@reembed/shared'
import type { Job, RunPointer } from './job.ts'

/** Name of the queue. */
export const QUEUE = 'embed'
/** Prefix of all Redis keys. It is a hash tag, so all keys have one cluster slot. */
export const REDIS_PREFIX = '{reembed}'

const READABLE_CHARS = 24
const DIGEST_CHARS = 12
const SHARD_DIGITS = 7

/**
 * Identifies an output in Redis: the readable end of its URL, then a digest of the URL without
 * trailing slashes. Without ':' and '.', which separate the parts of key names.
 */
export function outputId(output: string): string {
  const url = output.replace(/\/+$/, '')
  const name = url.slice(url.lastIndexOf('/') + 1)
  const readable = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
  return `${readable.slice(0, READABLE_CHARS) || 'root'}-${idOf(url).slice(0, DIGEST_CHARS)}`
}

/** Identifies a run of an output in Redis. */
export const runKey = ({ output, run }: RunPointer): string => `${outputId(output)}.${run}`

/** Returns the BullMQ id of a job. BullMQ refuses ':' and ids of digits only. */
export const jobId = (job: Job): string => `${runKey(job)}.${String(job.shard).padStart(SHARD_DIGITS, '0')}`
