// Reads the state of the queue with plain commands, without BullMQ: an exporter needs only read
// permission, loads no Lua, and works without any worker. The key names and types are those of
// BullMQ 6; a test compares them with the installed BullMQ.

import type { Redis } from 'ioredis'
import { QUEUE, REDIS_PREFIX } from './names.ts'
import { type RunProgress, readProgress, readWorkers, type WorkerState } from './progress.ts'
import type { FailedJob, QueueCounts } from './queue.ts'
import { connectRedis, inspectRedis, type RedisInfo, type RedisTarget, secureUrlOf } from './redis.ts'

/** BullMQ's states of a job that is not complete. */
export const QUEUE_STATES = ['wait', 'prioritized', 'active', 'delayed', 'failed'] as const
export type QueueState = (typeof QUEUE_STATES)[number]

/** Returns the Redis key with the jobs of a state. KEDA reads the same keys. */
export const queueKey = (state: QueueState | 'meta'): string => `${REDIS_PREFIX}:${QUEUE}:${state}`

/** The number of jobs by state, and their ages. */
export interface QueueDepth {
  readonly jobs: Readonly<Record<QueueState, number>>
  readonly paused: boolean
  /** How long the next job has waited in milliseconds; null if none waits. */
  readonly oldestWaitingMs: number | null
  /** Delayed jobs whose delay is over. Only a running worker promotes them. */
  readonly overdue: number
  /** How long the first of them is overdue. */
  readonly overdueMs: number
}

/** Read access to the queue. */
export interface QueueReader extends AsyncDisposable {
  /** @throws ReembedError REDIS_UNREACHABLE after a second, or REDIS_MISCONFIGURED. */
  redis(): Promise<RedisInfo>
  depth(nowMs?: number): Promise<QueueDepth>
  counts(): Promise<QueueCounts>
  /** Returns jobs of a run without attempts left, newest first, at most `limit`. */
  failures(run: string, limit: number): Promise<FailedJob[]>
  progress(run: string): Promise<RunProgress>
  workers(): Promise<WorkerState[]>
}

/**
 * Opens a connection that only reads, and never waits for a Redis that is unreachable: each call
 * then fails.
 */
export function openQueueReader(target: RedisTarget): QueueReader {
  const redisUrl = secureUrlOf(target)
  const redis = connectRedis(redisUrl, { failFast: true })
  redis.on('error', () => {})
  return {
    redis: () => inspectRedis(redisUrl, { timeoutMs: 1_000 }),
    depth: (nowMs = Date.now()) => readDepth(redis, nowMs),
    async counts() {
      const { wait, prioritized, active, delayed, failed } = (await readDepth(redis, Date.now())).jobs
      return { waiting: wait + prioritized, active, delayed, failed }
    },
    failures: (run, limit) => readFailures(redis, run, limit),
    progress: run => readProgress(redis, run),
    workers: () => readWorkers(redis, Date.now()),
    async [Symbol.asyncDispose]() {
      redis.disconnect()
    },
  }
}

/** More than the queue keeps. */
const MAX_FAILED = 10_000

async function readFailures(redis: Redis, run: string, limit: number): Promise<FailedJob[]> {
  const ids = await redis.zrevrange(queueKey('failed'), 0, MAX_FAILED)
  const own = ids.filter(id => id.startsWith(`${run}-`)).slice(0, limit)
  return Promise.all(
    own.map(async id => ({
      run,
      shard: Number(id.slice(run.length + 1)),
      reason: (await redis.hget(`${REDIS_PREFIX}:${QUEUE}:${id}`, 'failedReason')) ?? '',
    })),
  )
}

/** BullMQ scores delayed jobs by their due time in ms, times this, plus a sequence number. */
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
