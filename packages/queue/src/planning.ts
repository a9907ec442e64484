// Shows other processes that a run is being planned. Before its plan is recorded a run has no id
// and no object in the store, and planning can take minutes: a cold endpoint, a large source.
//
//   {reembed}:<queue>:planning   hash: planner -> JSON, ignored STALE_MS after its last refresh

import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { performance } from 'node:perf_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import { amount, count, finite, LIMITS, optional, record, requireShape, text } from '@reembed/shared'
import type { Redis } from 'ioredis'
import { readHash } from './bounded-reads.ts'
import { normalOutput, queueKey } from './names.ts'
import { queueOf, type RedisTarget, secureUrlOf } from './redis.ts'
import { connectRedis } from './redis-client.ts'
import { readerTime, redisTime } from './redis-clock.ts'

/** What planning does, and how far it is. */
export interface PlanningStep {
  readonly step: string
  readonly done: number
  /** Undefined where the total is not known. */
  readonly of?: number | undefined
  /** The state of an endpoint that planning waits for: 'warming, 41 s'. */
  readonly endpoint?: string | undefined
}

/** A run that is being planned for an output. */
export interface PlanningEntry extends PlanningStep {
  readonly planner: string
  readonly output: string
  /** How long it has been planned, by the clock of the planner. */
  readonly elapsedMs: number
  /** When the planner last refreshed the entry, by the clock of Redis. */
  readonly atMs: number
}

/** The entry of this process; disposal removes it. */
export interface PlanningAnnouncement extends AsyncDisposable {
  report(step: PlanningStep): void
}

/** Three refreshes may be lost. */
const STALE_MS = 30_000
const REFRESH_MS = 10_000
/** Planning can report thousands of steps per second. */
const WRITE_MS = 1_000
/** Removal waits no longer for a Redis that does not answer: the entry ages. */
const REMOVE_MS = 500

/**
 * Keeps an entry for `output` in the hash `planning` of the queue until disposal, or until the
 * signal fires. Redis being unreachable is no error: planning does not need it.
 */
export function announcePlanning(
  target: RedisTarget,
  output: string,
  { step: first, signal }: { readonly step: PlanningStep; readonly signal?: AbortSignal | undefined },
): PlanningAnnouncement {
  const redis = connectRedis(secureUrlOf(target), { failFast: true })
  redis.on('error', () => {})
  const queue = queueOf(target)
  const key = queueKey('planning', queue)
  const planner = `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`
  const beginMs = performance.now()
  let step = first
  let written: PlanningStep | undefined
  let writtenMs = 0
  let ended: Promise<void> | undefined

  async function write(): Promise<void> {
    const nowMs = performance.now()
    if (written === step && nowMs - writtenMs < REFRESH_MS) return
    written = step
    writtenMs = nowMs
    const atMs = await redisTime(redis)
    // A write behind the removal would show a planner that does not exist.
    if (ended !== undefined) return
    const entry: PlanningEntry = { ...step, planner, output, elapsedMs: nowMs - beginMs, atMs }
    await redis.multi().hset(key, planner, JSON.stringify(entry)).pexpire(key, STALE_MS).exec()
  }

  const attempt = (): void =>
    void write().catch(() => {
      written = undefined
    })
  const writing = setInterval(attempt, WRITE_MS)
  writing.unref()
  attempt()

  async function remove(): Promise<void> {
    clearInterval(writing)
    signal?.removeEventListener('abort', end)
    const removed = redis.hdel(key, planner).catch(() => {})
    await Promise.race([removed, wait(REMOVE_MS, undefined, { ref: false })])
    redis.disconnect()
  }
  function end(): Promise<void> {
    ended ??= remove()
    return ended
  }
  signal?.addEventListener('abort', end, { once: true })
  if (signal?.aborted) void end()

  void removeStale(redis, queue).catch(() => {})
  return {
    report(next) {
      step = next
    },
    [Symbol.asyncDispose]: end,
  }
}

/**
 * Reads the runs that are being planned for `output`, the longest first. Ignores invalid entries:
 * Redis is untrusted.
 */
export async function readPlanning(redis: Redis, queue: string, output: string): Promise<PlanningEntry[]> {
  const url = normalOutput(output)
  const { fresh } = await readAll(redis, queue)
  return fresh.filter(entry => normalOutput(entry.output) === url).sort((a, b) => b.elapsedMs - a.elapsedMs)
}

/** Entries of killed planners would stay for as long as another planner refreshes the hash. */
async function removeStale(redis: Redis, queue: string): Promise<void> {
  const { stale } = await readAll(redis, queue)
  if (stale.length > 0) await redis.hdel(queueKey('planning', queue), ...stale)
}

async function readAll(redis: Redis, queue: string): Promise<{ fresh: PlanningEntry[]; stale: string[] }> {
  const found = await readHash(redis, queueKey('planning', queue), {
    fields: LIMITS.heartbeats,
    valueBytes: LIMITS.heartbeatBytes,
  })
  const nowMs = found.size === 0 ? 0 : await readerTime(redis)
  const fresh: PlanningEntry[] = []
  const stale: string[] = []
  for (const [planner, json] of found) {
    const entry = parseEntry(json)
    if (entry !== undefined && nowMs - entry.atMs < STALE_MS)
      fresh.push({ ...entry, elapsedMs: entry.elapsedMs + Math.max(0, nowMs - entry.atMs) })
    else stale.push(planner)
  }
  return { fresh, stale }
}

const shape = record<PlanningEntry>({
  planner: text,
  output: text,
  step: text,
  done: count,
  of: optional(count),
  endpoint: optional(text),
  elapsedMs: amount,
  atMs: finite,
})

function parseEntry(json: string): PlanningEntry | undefined {
  try {
    return requireShape<PlanningEntry>(shape, JSON.parse(json), 'invalid planning entry')
  } catch {
    return undefined
  }
}
