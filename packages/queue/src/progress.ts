// Progress of a run, for display. It is in Redis because it changes every second and may be lost:
// no decision depends on it; the LIST of the store is authoritative.
//
//   {reembed}:run:<run>          hash: shards, documents, rows, rejects, tokens, bytes, ... of finished shards
//   {reembed}:run:<run>:open     hash: shard -> embedded documents of an unfinished shard
//   {reembed}:workers            hash: worker -> JSON WorkerState, stale after 15 s

import { finite, list, record, requireShape, text } from '@reembed/shared'
import type { Redis } from 'ioredis'
import { REDIS_PREFIX } from './names.ts'

/** Counts of a finished shard. */
export interface ShardCounts {
  readonly documents: number
  readonly rows: number
  readonly rejects: number
  readonly tokens: number
  readonly bytes: number
  /** Texts that the model read only up to its limit, and their tokens that it did not read. */
  readonly truncated: number
  readonly unreadTokens: number
}

/** Sums over the finished shards of a run. */
export interface RunProgress extends ShardCounts {
  readonly shards: number
  /** Embedded documents of unfinished shards. */
  readonly openDocuments: number
}

/** The heartbeat of a worker. */
export interface WorkerState {
  readonly worker: string
  /** State of its endpoint: 'ok', 'overloaded', 'warming, 41 s' or 'idle'. */
  readonly endpoint: string
  /** The outputs that it serves, each with what lies below it. */
  readonly outputs: readonly string[]
  readonly atMs: number
}

/** Whether a worker of `outputs` takes jobs of `output`: one of them, or below one of them. */
export const servesOutput = (outputs: readonly string[], output: string): boolean =>
  withoutSlashes(outputs).some(served => {
    const [url = ''] = withoutSlashes([output])
    return url === served || url.startsWith(`${served}/`)
  })

/** Outputs as `servesOutput` compares them. */
const withoutSlashes = (outputs: readonly string[]): string[] =>
  outputs.map(output => output.replace(/\/+$/, ''))

const KEEP_SECONDS = 7 * 24 * 3600
const STALE_MS = 15_000
const FIELDS = [
  'shards',
  'documents',
  'rows',
  'rejects',
  'tokens',
  'bytes',
  'truncated',
  'unreadTokens',
] as const

const runKey = (run: string): string => `${REDIS_PREFIX}:run:${run}`
const openKey = (run: string): string => `${runKey(run)}:open`
const workersKey = `${REDIS_PREFIX}:workers`

/** Records how many documents of an unfinished shard are embedded. */
export async function recordDocuments(
  redis: Redis,
  run: string,
  shard: number,
  documents: number,
): Promise<void> {
  await redis.multi().hset(openKey(run), String(shard), documents).expire(openKey(run), KEEP_SECONDS).exec()
}

/** Adds a finished shard to the run's totals. */
export async function recordShard(
  redis: Redis,
  run: string,
  shard: number,
  counts: ShardCounts,
): Promise<void> {
  const multi = redis.multi().hdel(openKey(run), String(shard)).hincrby(runKey(run), 'shards', 1)
  for (const [field, value] of Object.entries(counts)) multi.hincrby(runKey(run), field, value)
  await multi.expire(runKey(run), KEEP_SECONDS).exec()
}

/** Removes the progress of an unfinished shard whose job failed or was requeued. */
export async function removeOpenShard(redis: Redis, run: string, shard: number): Promise<void> {
  await redis.hdel(openKey(run), String(shard))
}

export async function readProgress(redis: Redis, run: string): Promise<RunProgress> {
  const [totals, open] = await Promise.all([redis.hmget(runKey(run), ...FIELDS), redis.hvals(openKey(run))])
  const [
    shards = 0,
    documents = 0,
    rows = 0,
    rejects = 0,
    tokens = 0,
    bytes = 0,
    truncated = 0,
    unreadTokens = 0,
  ] = totals.map(Number)
  const openDocuments = open.reduce((sum, value) => sum + Number(value), 0)
  return { shards, documents, rows, rejects, tokens, bytes, truncated, unreadTokens, openDocuments }
}

/** Records the heartbeat of a worker. */
export async function recordHeartbeat(redis: Redis, state: WorkerState): Promise<void> {
  await redis.hset(workersKey, state.worker, JSON.stringify(state))
}

export async function removeWorker(redis: Redis, worker: string): Promise<void> {
  await redis.hdel(workersKey, worker)
}

/**
 * Reads the workers with a heartbeat in the last 15 s. Ignores invalid entries: Redis is untrusted.
 */
export async function readWorkers(redis: Redis, nowMs: number): Promise<WorkerState[]> {
  const states = (await redis.hvals(workersKey)).flatMap(parseWorkerState)
  return states.filter(({ atMs }) => nowMs - atMs < STALE_MS)
}

const workerShape = record<WorkerState>({
  worker: text,
  endpoint: text,
  outputs: list(text),
  atMs: finite,
})

function parseWorkerState(json: string): WorkerState[] {
  try {
    return [requireShape<WorkerState>(workerShape, JSON.parse(json), 'invalid heartbeat')]
  } catch {
    return []
  }
}
