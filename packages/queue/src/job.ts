// A job is a pointer: it contains no endpoint URL, no token and no text. A party with write access
// to Redis can at most name a run and a shard; the worker reads their content from the plan in the
// output.
//
//   {output, run, shard}         embed a shard
//   {output, run, shard, load}   write a shard of a finished run into a vector store. Its `output`
//                                begins with 'load:<store>:', which only workers serve that name
//                                the store: no other worker takes the job, nor one of a version
//                                that knows no loads

import { idOf, isRunId, isUrl, LIMITS, ReembedError } from '@reembed/shared'

/** A pointer to a run, or to a load of one. Two outputs may hold a run with the same id. */
export interface RunPointer {
  /** The output that holds the run: a folder or an s3:// URL. */
  readonly output: string
  readonly run: string
  readonly load?: LoadPointer | undefined
}

/** A pointer to a load of a run into a vector store. */
export interface LoadPointer {
  /** The id of the load, which the vector store keeps. */
  readonly id: string
  /** See `storeKey`. */
  readonly store: string
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
  const { output: served, run, shard, load: id } = Object.fromEntries(fields)
  const known = fields.every(([name]) => FIELDS.has(name))
  const [, store, of] = (id !== undefined && LOADED.exec(String(served))) || []
  const output = store === undefined ? served : of
  const isPointer = typeof output === 'string' && typeof run === 'string' && isRunId(run) && isShard(shard)
  const isLoad = typeof id === 'string' && LOAD_ID.test(id) && store !== undefined
  if (known && isPointer && isDirectOutput(output) && isLoad === (id !== undefined))
    return { output, run, shard, ...(isLoad && { load: { id, store } }) }
  throw new ReembedError(
    'JOB_INVALID',
    'invalid job: expected {output, run, shard}; another program or version wrote it. A sweep enqueues missing shards again',
  )
}

const FIELDS: ReadonlySet<string> = new Set(['output', 'run', 'shard', 'load'])
const LOADED = /^load:([a-z2-7]{12}):(.*)$/s
/** A UUID, in every vector store. */
const LOAD_ID = /^[a-z0-9-]{1,40}$/

/** Names a vector store in jobs, by its address without credentials. */
export const storeKey = (address: string): string => idOf(address).slice(0, 12)

/** What a worker that loads into a store serves, for an output that it serves. */
export const loadOutput = (store: string, output: string): string => `load:${store}:${output}`

/** The data of a job in Redis. */
export const jobData = ({ output, run, shard, load }: Job): object =>
  load === undefined
    ? { output, run, shard }
    : { output: loadOutput(load.store, output), run, shard, load: load.id }

const isShard = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) < LIMITS.shards

/**
 * Whether an output is a normalised absolute path or a URL without '.' and '..' between its
 * slashes, percent-encoded or not. Another form could begin with a served output and lead out of
 * it.
 */
export function isDirectOutput(output: string): boolean {
  if (output.length > LIMITS.outputCharacters || /\p{Cc}/u.test(output)) return false
  return (isUrl(output) || output.startsWith('/')) && !/\/(?:\.|%2e){1,2}(?:\/|$)/i.test(output)
}
