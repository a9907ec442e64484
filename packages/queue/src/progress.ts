// Progress of a run, for display. It is in Redis because it changes every second and may be lost:
// no decision depends on it; the LIST of the store is authoritative.
//
//   {reembed}:run:<run key>      hash: shards, documents, rows, rejects, tokens, bytes, ... of finished shards
//   {reembed}:run:<run key>:open hash: shard -> embedded documents of an unfinished shard
//   {reembed}:<queue>:workers    hash: worker -> JSON WorkerState, stale after 15 s

import { finite, LIMITS, list, messageOf, optional, record, requireShape, text } from '@reembed/shared'
import type { Redis } from 'ioredis'
import type { Job, RunPointer } from './job.ts'
import { normalOutput, queueKey, REDIS_PREFIX, runKey } from './names.ts'
import { activityShape, type WorkerActivity } from './worker-activity.ts'

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
  readonly activity?: WorkerActivity | undefined
  /** Why its last job of a load failed; undefined after a success. */
  readonly loadFault?: string | undefined
}

/** Whether a worker of `outputs` takes jobs of `output`: one of them, or below one of them. */
export function servesOutput(outputs: readonly string[], output: string): boolean {
  const url = normalOutput(output)
  return outputs.map(normalOutput).some(served => url === served || url.startsWith(`${served}/`))
}

const KEEP_SECONDS = 7 * 24 * 3600
const STALE_MS = 15_000
const HEARTBEATS_AT_ONCE = 1_000
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

const totalsKey = (of: RunPointer): string => `${REDIS_PREFIX}:run:${runKey(of)}`
const openKey = (of: RunPointer): string => `${totalsKey(of)}:open`

/** Records how many documents of an unfinished shard are embedded. */
export async function recordDocuments(redis: Redis, job: Job, documents: number): Promise<void> {
  const key = openKey(job)
  await redis.multi().hset(key, String(job.shard), documents).expire(key, KEEP_SECONDS).exec()
}

/** Adds a finished shard to the run's totals. */
export async function recordShard(redis: Redis, job: Job, counts: ShardCounts): Promise<void> {
  const totals = totalsKey(job)
  const multi = redis.multi().hdel(openKey(job), String(job.shard)).hincrby(totals, 'shards', 1)
  for (const [field, value] of Object.entries(counts)) multi.hincrby(totals, field, value)
  await multi.expire(totals, KEEP_SECONDS).exec()
}

/** Removes the progress of an unfinished shard whose job failed or was requeued. */
export async function removeOpenShard(redis: Redis, job: Job): Promise<void> {
  await redis.hdel(openKey(job), String(job.shard))
}

export async function readProgress(redis: Redis, of: RunPointer): Promise<RunProgress> {
  const [totals, open] = await Promise.all([redis.hmget(totalsKey(of), ...FIELDS), redis.hvals(openKey(of))])
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

/**
 * The unfinished shards of a run that workers embed, each with its number of embedded documents.
 */
export async function readOpenShards(redis: Redis, of: RunPointer): Promise<ReadonlyMap<number, number>> {
  const open = await redis.hgetall(openKey(of))
  return new Map(Object.entries(open).map(([shard, documents]) => [Number(shard), Number(documents)]))
}

/** Records the heartbeat of a worker. */
export async function recordHeartbeat(redis: Redis, queue: string, state: WorkerState): Promise<void> {
  await redis.hset(queueKey('workers', queue), state.worker, JSON.stringify(state))
}

export async function removeWorker(redis: Redis, queue: string, worker: string): Promise<void> {
  await redis.hdel(queueKey('workers', queue), worker)
}

/**
 * Reads the workers with a heartbeat in the last 15 s. Ignores invalid entries: Redis is untrusted.
 */
export async function readWorkers(redis: Redis, queue: string, nowMs: number): Promise<WorkerState[]> {
  const found = await readEntries(redis, queueKey('workers', queue))
  const states = found.flatMap(([, json]) => parseWorkerState(json))
  return states.filter(({ atMs }) => nowMs - atMs < STALE_MS)
}

/** Reads the fields of a hash of heartbeats, at most `LIMITS.heartbeats`. */
export async function readEntries(redis: Redis, key: string): Promise<[field: string, value: string][]> {
  // HSCAN may return a field twice.
  const found = new Map<string, string>()
  let cursor = '0'
  do {
    const [next, page] = await redis
      .hscan(key, cursor, 'COUNT', HEARTBEATS_AT_ONCE)
      .catch((error: unknown): [string, string[]] => {
        // Another program wrote a value of another type: no entry is known, and Redis answers.
        if (/^WRONGTYPE/.test(messageOf(error))) return ['0', []]
        throw error
      })
    for (let i = 0; i < page.length; i += 2) found.set(page[i] ?? '', page[i + 1] ?? '')
    cursor = next
  } while (cursor !== '0' && found.size < LIMITS.heartbeats)
  return [...found]
}

const workerShape = record<WorkerState>({
  worker: text,
  endpoint: text,
  outputs: list(text),
  atMs: finite,
  activity: optional(activityShape),
  loadFault: optional(text),
})

function parseWorkerState(json: string): WorkerState[] {
  if (json.length > LIMITS.heartbeatCharacters) return []
  try {
    return [requireShape<WorkerState>(workerShape, JSON.parse(json), 'invalid heartbeat')]
  } catch {
    return []
  }
}
