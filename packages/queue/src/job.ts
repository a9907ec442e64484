// A job is a pointer: it contains no endpoint URL, no token and no text. A party with write access
// to Redis can at most name a run and a shard; the worker reads their content from the plan in the
// output.

import { isRunId, ReembedError } from '@reembed/shared'

/** A pointer to a run. Two outputs may hold a run with the same id. */
export interface RunPointer {
  /** The output that holds the run: a folder or an s3:// URL. */
  readonly output: string
  readonly run: string
}

/** A pointer to one shard of a run. */
export interface Job extends RunPointer {
  readonly shard: number
}

/**
 * Validates a job's data from Redis, which is untrusted.
 * @throws ReembedError JOB_INVALID, which is never retried
 */
export function parseJob(data: unknown): Job {
  const fields = Object.entries(typeof data === 'object' && data !== null ? data : {})
  const { output, run, shard } = Object.fromEntries(fields)
  const known = fields.every(([name]) => name === 'output' || name === 'run' || name === 'shard')
  if (known && typeof output === 'string' && typeof run === 'string' && isRunId(run) && isIndex(shard)) {
    return { output, run, shard }
  }
  throw new ReembedError(
    'JOB_INVALID',
    'invalid job: expected {output, run, shard}; another program or version wrote it. A sweep enqueues missing shards again',
  )
}

const isIndex = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0
