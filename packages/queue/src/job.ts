// A job is a pointer: it contains no endpoint URL, no token and no text. A party with write access
// to Redis can at most name a run and a shard; the worker reads their content from the plan in the
// output.

import { isRunId, LIMITS, ReembedError } from '@reembed/shared'

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
  const isPointer = typeof output === 'string' && typeof run === 'string' && isRunId(run) && isShard(shard)
  if (known && isPointer && isDirectOutput(output)) return { output, run, shard }
  throw new ReembedError(
    'JOB_INVALID',
    'invalid job: expected {output, run, shard}; another program or version wrote it. A sweep enqueues missing shards again',
  )
}

const isShard = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) < LIMITS.shards

/**
 * Whether an output is a normalised absolute path or a URL without '.' and '..' between its
 * slashes, percent-encoded or not. Another form could begin with a served output and lead out of
 * it.
 */
export function isDirectOutput(output: string): boolean {
  if (output.length > LIMITS.outputCharacters || /\p{Cc}/u.test(output)) return false
  const isUrl = /^[a-z0-9+]+:\/\//i.test(output)
  return (isUrl || output.startsWith('/')) && !/\/(?:\.|%2e){1,2}(?:\/|$)/i.test(output)
}
