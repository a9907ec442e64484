// Reads the state of the queue with plain commands, without BullMQ: an exporter needs only read
// permission, loads no Lua, and works without any worker. The key names and types are those of
// BullMQ 6; a test compares them with the installed BullMQ.

import type { Redis } from 'ioredis'
import { readFields } from './bounded-reads.ts'
import { countRun, countStates, type QueueCounts, type QueueState } from './counts.ts'
import { type FailedJob, type JobAttempts, readAttempts, readFailures } from './failed-jobs.ts'
import type { Job, RunPointer } from './job.ts'
import { behindRun, queueKey } from './names.ts'
import { type PlanningEntry, readPlanning } from './planning.ts'
import { type RunProgress, readOpenShards, readProgress, readWorkers, type WorkerState } from './progress.ts'
import { inspectRedis, queueOf, type RedisInfo, type RedisTarget, secureUrlOf } from './redis.ts'
import { connectRedis } from './redis-client.ts'
import { readerTime } from './redis-clock.ts'

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
  /** Counts the jobs of a run. */
  counts(of: RunPointer): Promise<QueueCounts>
  /** Returns jobs of a run without attempts left, newest first, at most `limit`. */
  failures(of: RunPointer, limit: number): Promise<FailedJob[]>
  /** The attempts of a job; undefined if the queue does not hold it. */
  attempts(job: Job): Promise<JobAttempts | undefined>
  progress(of: RunPointer): Promise<RunProgress>
  /** The unfinished shards that workers embed, each with its number of embedded documents. */
  openShards(of: RunPointer): Promise<ReadonlyMap<number, number>>
  workers(): Promise<WorkerState[]>
  /** The runs that are being planned for an output. */
  planning(output: string): Promise<PlanningEntry[]>
}

/**
 * Opens a connection that only reads, and never waits for a Redis that is unreachable: each call
 * then fails.
 */
export function openQueueReader(target: RedisTarget): QueueReader {
  const [redisUrl, queue] = [secureUrlOf(target), queueOf(target)]
  const redis = connectRedis(redisUrl, { failFast: true })
  redis.on('error', () => {})
  return {
    redis: () => inspectRedis(redisUrl, { timeoutMs: 1_000 }),
    depth: (nowMs = Date.now()) => readDepth(redis, queue, nowMs),
    counts: of => countRun(redis, queue, of),
    failures: (of, limit) => readFailures(redis, queue, of, limit),
    attempts: job => readAttempts(redis, queue, job),
    progress: of => readProgress(redis, of),
    openShards: of => readOpenShards(redis, of),
    workers: async () => readWorkers(redis, queue, await readerTime(redis)),
    planning: output => readPlanning(redis, queue, output),
    async [Symbol.asyncDispose]() {
      redis.disconnect()
    },
  }
}

/** BullMQ scores delayed jobs by their due time in ms, times this, plus a sequence number. */
const DELAYED_SCALE = 4096

/** Runs whose first waiting job is read for `oldestWaitingMs`. */
const MAX_RUNS = 64

async function readDepth(redis: Redis, queue: string, nowMs: number): Promise<QueueDepth> {
  const due = nowMs * DELAYED_SCALE
  const key = (part: string): string => queueKey(part, queue)
  const [jobs, paused, oldest, overdue, first] = await Promise.all([
    countStates(redis, queue),
    redis.hexists(key('meta'), 'paused'),
    readOldest(redis, queue),
    redis.zcount(key('delayed'), '-inf', due),
    redis.zrangebyscore(key('delayed'), '-inf', due, 'WITHSCORES', 'LIMIT', 0, 1),
  ])
  return {
    jobs,
    paused: paused === 1,
    oldestWaitingMs: oldest === undefined ? null : Math.max(0, nowMs - oldest),
    overdue,
    overdueMs: first[1] === undefined ? 0 : Math.max(0, nowMs - Number(first[1]) / DELAYED_SCALE),
  }
}

/** When the first of the waiting jobs was added: shards of a run are added in order. */
async function readOldest(redis: Redis, queue: string): Promise<number | undefined> {
  const first: string[] = []
  const [next] = await redis.lrange(queueKey('wait', queue), -1, -1)
  if (next !== undefined) first.push(next)
  let from = '-'
  while (first.length < MAX_RUNS) {
    const [id] = await redis.zrangebylex(queueKey('ready', queue), from, '+', 'LIMIT', 0, 1)
    if (id === undefined) break
    first.push(id)
    from = behindRun(id)
  }
  const times = await Promise.all(first.map(id => readFields(redis, queueKey(id, queue), ['timestamp'])))
  const known = times.flatMap(([time]) => (time == null || Number.isNaN(Number(time)) ? [] : Number(time)))
  return known.length === 0 ? undefined : Math.min(...known)
}
