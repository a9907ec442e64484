// Key names in Redis. A run id is a hash of corpus, model and recipe, so two outputs may hold the
// same run. Therefore every name that belongs to a run contains its output.
//
//   {reembed}:<queue>:<job id>          a job, as BullMQ stores it
//   {reembed}:<queue>:<state>           BullMQ's lists and sorted sets of jobs, and ours (ready-jobs.ts)
//   {reembed}:<queue>:workers           heartbeats
//   {reembed}:<queue>:wake              planners that wait for an endpoint (wake.ts)
//   {reembed}:<queue>:planning          runs that are being planned (planning.ts)
//   {reembed}:<queue>:data              a value that a loss of data changes (settle.ts)
//   {reembed}:run:<run key>[:...]       progress, budget and finalize lease of a run
//   {reembed}:limit:<endpoint>[:...]    the limit of an endpoint, shared by all queues
//
//   run key   <output id>.<run>         for example dev-k3v5q2xw7a.q2vz...; of a load of the run,
//             <output id>_<load>.<run>  so that it takes turns with runs
//   job id    <run key>.<shard>         the shard has 7 digits, so ids sort by shard

import { idOf, LIMITS, ReembedError } from '@reembed/shared'
import type { Job, RunPointer } from './job.ts'

/** Name of the queue, unless the user names another. */
export const QUEUE = 'embed'
/** Prefix of all Redis keys. It is a hash tag, so all keys have one cluster slot. */
export const REDIS_PREFIX = '{reembed}'

const READABLE_CHARS = 24
const DIGEST_CHARS = 12
const SHARD_DIGITS = String(LIMITS.shards - 1).length

/**
 * Identifies an output in Redis: the readable end of its URL, then a digest of the URL without
 * trailing slashes. Without ':' and '.', which separate the parts of key names.
 */
export function outputId(output: string): string {
  const url = normalOutput(output)
  const name = url.slice(url.lastIndexOf('/') + 1)
  const readable = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
  return `${readable.slice(0, READABLE_CHARS) || 'root'}-${idOf(url).slice(0, DIGEST_CHARS)}`
}

/**
 * An output's URL as names and comparisons use it: without slashes at its end, and with one slash
 * after a bucket.
 */
export const normalOutput = (output: string): string =>
  output.replace(/^([a-z0-9+]+:\/\/[^/]+)\/+/i, '$1/').replace(/\/+$/, '')

/** Keys below the prefix that are no queue's. */
const RESERVED = ['run', 'limit']

/**
 * The Redis key of a part of a queue: BullMQ's states, and `ready`, `turn`, `workers`,
 * `planning` and `wake`. KEDA reads some of them.
 */
export const queueKey = (part: string, queue: string = QUEUE): string => `${REDIS_PREFIX}:${queue}:${part}`

/** Returns the name of a queue. @throws ReembedError USAGE that states the allowed names */
export function requireQueueName(name: string): string {
  if (/^[a-z][a-z0-9-]{0,39}$/.test(name) && !RESERVED.includes(name)) return name
  throw new ReembedError(
    'USAGE',
    `'${name}' cannot name a queue: use 1 to 40 characters of a-z, 0-9 and '-', beginning with a letter; not ${RESERVED.map(each => `'${each}'`).join(' or ')}`,
    { option: 'queue' },
  )
}

/** Identifies a run of an output, or a load of it, in Redis. */
export const runKey = ({ output, run, load }: RunPointer): string =>
  `${outputId(output)}${load ? `_${load.id}` : ''}.${run}`

/** Returns the BullMQ id of a job. BullMQ refuses ':' and ids of digits only. */
export const jobId = (job: Job): string => `${runKey(job)}.${String(job.shard).padStart(SHARD_DIGITS, '0')}`

/** The shard of a job id. */
export const shardOfJobId = (id: string): number => Number(id.slice(id.lastIndexOf('.') + 1))

/**
 * The bounds of a run's jobs in a sorted set of job ids: '/' follows '.' in ASCII.
 */
export const runBounds = (of: RunPointer): readonly [string, string] => [`[${runKey(of)}.`, `(${runKey(of)}/`]

/** The bound behind all jobs of the run of a job. The id may be one that another program chose. */
export function behindRun(id: string): string {
  const end = id.lastIndexOf('.')
  return end < 0 ? `(${id}` : `[${id.slice(0, end)}/`
}
