// The job on the queue is a pointer and nothing else: no URL of an endpoint, no token, no text. Whoever can write
// to Redis can at most name a run and a shard; what they hold is read from the plan in the output's own store.

import { ReembedError } from '@reembed/shared'

export interface Job {
  /** The output that holds the run: a folder or an s3:// URL. */
  readonly output: string
  readonly run: string
  readonly shard: number
}

/** Takes a job's data from Redis, where anybody may have written it. Throws JOB_INVALID, which is never retried. */
export function parseJob(data: unknown): Job {
  const fields = Object.entries(typeof data === 'object' && data !== null ? data : {})
  const { output, run, shard } = Object.fromEntries(fields)
  const known = fields.every(([name]) => name === 'output' || name === 'run' || name === 'shard')
  if (
    known &&
    typeof output === 'string' &&
    typeof run === 'string' &&
    /^[a-z2-7]{26}$/.test(run) &&
    isIndex(shard)
  ) {
    return { output, run, shard }
  }
  throw new ReembedError(
    'JOB_INVALID',
    'invalid job: expected {output, run, shard}; it was not written by this version of reembed. The sweep queues what is missing again',
  )
}

const isIndex = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0
