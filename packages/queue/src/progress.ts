// Progress of a run, for display. It is in Redis because it changes every second and may be lost:
// no decision depends on it; the LIST of the store is authoritative.
//
//   {reembed}:run:<run key>      hash: shards, documents, rows, rejects, tokens, bytes, ... of finished shards
//   {reembed}:run:<run key>:open hash: shard -> embedded documents of an unfinished shard
//   {reembed}:<queue>:workers    hash: worker -> JSON WorkerState, stale after 15 s

import { finite, LIMITS, list, optional, ReembedError, record, requireShape, text } from '@reembed/shared'
import type { Redis } from 'ioredis'
import { readFields, readHash } from './bounded-reads.ts'
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
/** The largest count has sixteen digits. */
const COUNT_BYTES = 16
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
  const [totals, open] = await Promise.all([
    readFields(redis, totalsKey(of), FIELDS),
    readOpenShards(redis, of),
  ])
  const [
    shards = 0,
    documents = 0,
    rows = 0,
    rejects = 0,
    tokens = 0,
    bytes = 0,
    truncated = 0,
    unreadTokens = 0,
  ] = totals.map(countOf)
  const openDocuments = [...open.values()].reduce((sum, count) => sum + count, 0)
  return { shards, documents, rows, rejects, tokens, bytes, truncated, unreadTokens, openDocuments }
}

/**
 * The unfinished shards of a run that workers embed, each with its number of embedded documents.
 */
export async function readOpenShards(redis: Redis, of: RunPointer): Promise<ReadonlyMap<number, number>> {
  const open = await readHash(redis, openKey(of), { fields: LIMITS.listedJobs, valueBytes: COUNT_BYTES })
  return new Map(Array.from(open, ([shard, documents]) => [Number(shard), countOf(documents)]))
}

/** A count in Redis; 0 for a value that is none. */
function countOf(value: string | null): number {
  const count = Number(value)
  return Number.isSafeInteger(count) && count > 0 ? count : 0
}

/** Records the heartbeat of a worker. */
export async function recordHeartbeat(redis: Redis, queue: string, state: WorkerState): Promise<void> {
  await redis.hset(queueKey('workers', queue), state.worker, heartbeatOf(state))
}

/** Half of a heartbeat, so that the state of the endpoint has room beside them. */
const OUTPUTS_BYTES = LIMITS.heartbeatBytes / 2
const ENDPOINT_CHARACTERS = 2_048

/**
 * The JSON of a heartbeat. Readers ignore a longer one, and take its worker for dead: what is for
 * display is left out first.
 */
function heartbeatOf({ activity, ...state }: WorkerState): string {
  const fits = (json: string): boolean => Buffer.byteLength(json) <= LIMITS.heartbeatBytes
  const whole = JSON.stringify({ ...state, activity })
  if (fits(whole)) return whole
  const named = { ...state, endpoint: state.endpoint.slice(0, ENDPOINT_CHARACTERS) }
  const summary = JSON.stringify({ ...named, activity: activity && { ...activity, replicas: undefined } })
  return fits(summary) ? summary : JSON.stringify(named)
}

/** @throws ReembedError USAGE for outputs that no heartbeat has room for */
export function requireAnnounceable(outputs: readonly string[]): void {
  const bytes = Buffer.byteLength(JSON.stringify(outputs))
  if (bytes <= OUTPUTS_BYTES) return
  throw new ReembedError(
    'USAGE',
    `the URLs of the ${outputs.length} outputs have ${bytes} bytes, and a heartbeat has room for ${OUTPUTS_BYTES}: serve a folder that contains them`,
    { option: 'output' },
  )
}

export async function removeWorker(redis: Redis, queue: string, worker: string): Promise<void> {
  await redis.hdel(queueKey('workers', queue), worker)
}

/**
 * Reads the workers with a heartbeat in the last 15 s. Ignores invalid entries: Redis is untrusted.
 */
export async function readWorkers(redis: Redis, queue: string, nowMs: number): Promise<WorkerState[]> {
  const found = await readHash(redis, queueKey('workers', queue), {
    fields: LIMITS.heartbeats,
    valueBytes: LIMITS.heartbeatBytes,
  })
  const states = [...found.values()].flatMap(parseWorkerState)
  return states.filter(({ atMs }) => nowMs - atMs < STALE_MS)
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
  try {
    return [requireShape<WorkerState>(workerShape, JSON.parse(json), 'invalid heartbeat')]
  } catch {
    return []
  }
}
