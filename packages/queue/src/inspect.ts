// The queue as it stands, read with plain commands and no BullMQ: an exporter needs only the right to read, loads no
// Lua, and works when there is no worker at all. The key names and types are BullMQ 6's (infra.md section 1); a test
// holds them to the installed BullMQ.

import type { Redis } from 'ioredis'
import { QUEUE, REDIS_PREFIX } from './names.ts'
import { type RunProgress, readProgress, readWorkers, type WorkerState } from './progress.ts'
import { connectRedis, inspectRedis, type RedisInfo, type RedisTarget, secureUrlOf } from './redis.ts'

export const QUEUE_STATES = ['wait', 'prioritized', 'active', 'delayed', 'failed'] as const
export type QueueState = (typeof QUEUE_STATES)[number]

/** The Redis key that holds the jobs of a state; KEDA reads the same. */
export const queueKey = (state: QueueState | 'meta'): string => `${REDIS_PREFIX}:${QUEUE}:${state}`

export interface QueueDepth {
  readonly jobs: Readonly<Record<QueueState, number>>
  readonly paused: boolean
  /** Since when the job that is next has waited; null when none waits. */
  readonly oldestWaitingMs: number | null
  /** Delayed jobs whose time has come: only a living worker takes them out. */
  readonly overdue: number
  /** How long the first of them is over its time. */
  readonly overdueMs: number
}

export interface QueueReader extends AsyncDisposable {
  /** @throws ReembedError REDIS_UNREACHABLE after a second, or REDIS_MISCONFIGURED. */
  redis(): Promise<RedisInfo>
  depth(nowMs?: number): Promise<QueueDepth>
  progress(run: string): Promise<RunProgress>
  workers(): Promise<WorkerState[]>
}

/** Opens a connection that only reads, and never waits for a Redis that is not there: each call then fails. */
export function openQueueReader(target: RedisTarget): QueueReader {
  const redisUrl = secureUrlOf(target)
  const redis = connectRedis(redisUrl, { failFast: true })
  redis.on('error', () => {})
  return {
    redis: () => inspectRedis(redisUrl, { timeoutMs: 1_000 }),
    depth: (nowMs = Date.now()) => readDepth(redis, nowMs),
    progress: run => readProgress(redis, run),
    workers: () => readWorkers(redis, Date.now()),
    async [Symbol.asyncDispose]() {
      redis.disconnect()
    },
  }
}

/** BullMQ keeps delayed jobs by their time in ms, times this, plus a sequence number. */
const DELAYED_SCALE = 4096

async function readDepth(redis: Redis, nowMs: number): Promise<QueueDepth> {
  const due = nowMs * DELAYED_SCALE
  const [wait, prioritized, active, delayed, failed, paused, oldest, overdue, first] = await Promise.all([
    redis.llen(queueKey('wait')),
    redis.zcard(queueKey('prioritized')),
    redis.llen(queueKey('active')),
    redis.zcard(queueKey('delayed')),
    redis.zcard(queueKey('failed')),
    redis.hget(queueKey('meta'), 'paused'),
    redis.lindex(queueKey('wait'), -1),
    redis.zcount(queueKey('delayed'), '-inf', due),
    redis.zrangebyscore(queueKey('delayed'), '-inf', due, 'WITHSCORES', 'LIMIT', 0, 1),
  ])
  const added = oldest === null ? null : await redis.hget(`${REDIS_PREFIX}:${QUEUE}:${oldest}`, 'timestamp')
  return {
    jobs: { wait, prioritized, active, delayed, failed },
    paused: paused !== null,
    oldestWaitingMs: added === null ? null : Math.max(0, nowMs - Number(added)),
    overdue,
    overdueMs: first[1] === undefined ? 0 : Math.max(0, nowMs - Number(first[1]) / DELAYED_SCALE),
  }
}
