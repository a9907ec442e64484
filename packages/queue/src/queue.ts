// The producer's side of the queue. BullMQ delivers at least once and loses all jobs with its
// Redis. Both are harmless: a job is an idempotent pointer whose first step checks whether its
// shard exists, and a sweep enqueues missing shards again.

import { setTimeout as wait } from 'node:timers/promises'
import { messageOf, ReembedError } from '@reembed/shared'
import type { DefaultJobOptions } from 'bullmq'
import { openFinalizeLeases } from './finalize-lease.ts'
import type { Job } from './job.ts'
import { jobId, QUEUE, REDIS_PREFIX } from './names.ts'
import { type RunProgress, readProgress, readWorkers, type WorkerState } from './progress.ts'
import {
  type ConnectOptions,
  connectRedis,
  inspectRedis,
  type RedisTarget,
  requireNoEviction,
  secureUrlOf,
} from './redis.ts'
import { tracedAdd } from './trace.ts'

/** Number of jobs by state. */
export interface QueueCounts {
  readonly waiting: number
  readonly active: number
  readonly delayed: number
  readonly failed: number
}

/** A job without attempts left, with its last error. */
export interface FailedJob {
  readonly run: string
  readonly shard: number
  readonly reason: string
}

/** The queue as producers and sweepers use it. */
export interface Queue extends AsyncDisposable {
  /**
   * Adds jobs. Idempotent: a job that the queue already has is unchanged. Resolves when Redis has
   * them.
   */
  add(jobs: readonly Job[]): Promise<void>
  counts(): Promise<QueueCounts>
  /** Returns jobs of a run without attempts left, newest first, at most `limit`. */
  failures(run: string, limit?: number): Promise<FailedJob[]>
  /** Removes a run's failed jobs, so that `add` enqueues them again. Returns their number. */
  removeFailed(run: string): Promise<number>
  progress(run: string): Promise<RunProgress>
  workers(): Promise<WorkerState[]>
  /** Whether a process holds the finalize lease of the run; false if Redis does not answer. */
  isFinalizing(run: string): Promise<boolean>
  /**
   * Calls `finalize` under the finalize lease of the job's run; returns undefined if another
   * process holds it. Meanwhile the job stays on the queue, delayed, so that an autoscaler keeps a
   * worker. A worker that takes the job finds its shard finished and checks the run again.
   */
  withFinalizeLease<T>(job: Job, finalize: () => Promise<T>): Promise<T | undefined>
}

const BULK = 1_000
const DAY_S = 24 * 3600
/** Longer than most finalizations. */
const RECHECK_MS = 30_000
const ANSWER_MS = 5_000

const jobOptions: DefaultJobOptions = {
  attempts: 5,
  backoff: { type: 'exponential', delay: 1_000, jitter: 0.5 },
  removeOnComplete: true,
  removeOnFail: { age: 7 * DAY_S, count: 10_000 },
  stackTraceLimit: 1,
}

/**
 * Opens the queue. Checks that Redis is reachable, supported and never evicts keys.
 * @throws ReembedError REDIS_UNREACHABLE or REDIS_MISCONFIGURED that names the address and the fix
 */
export async function openQueue(target: RedisTarget, options: ConnectOptions = {}): Promise<Queue> {
  const redisUrl = secureUrlOf(target)
  requireNoEviction(await inspectRedis(redisUrl, options), redisUrl)
  const redis = connectRedis(redisUrl)
  // ioredis reconnects; commands wait meanwhile until the caller's deadline.
  redis.on('error', () => {})
  // A dynamic import: commands without a queue start about 170 ms sooner.
  const { Queue: BullQueue } = await import('bullmq')
  const queue = new BullQueue<Job>(QUEUE, {
    connection: redis,
    prefix: REDIS_PREFIX,
    defaultJobOptions: jobOptions,
    streams: { events: { maxLen: 1_000 } },
  })
  queue.on('error', () => {})
  const leases = openFinalizeLeases(redisUrl)

  const failedOf = async (run: string) =>
    (await queue.getJobs(['failed'], 0, 10_000)).filter(job => job?.data?.run === run)

  return {
    async add(jobs) {
      for (let start = 0; start < jobs.length; start += BULK) {
        const bulk = jobs.slice(start, start + BULK)
        try {
          await tracedAdd(bulk, telemetry =>
            queue.addBulk(
              bulk.map((job, i) => ({
                name: QUEUE,
                data: job,
                opts: { jobId: jobId(job.run, job.shard), ...telemetry[i] },
              })),
            ),
          )
        } catch (error) {
          if (!/OOM/.test(messageOf(error))) throw error
          throw new ReembedError(
            'REDIS_MISCONFIGURED',
            'Redis is out of memory (maxmemory reached): raise maxmemory, then enqueue again; no data is lost',
            { retry: 'requeue', cause: error },
          )
        }
      }
    },
    async counts() {
      const {
        waiting = 0,
        prioritized = 0,
        active = 0,
        delayed = 0,
        failed = 0,
      } = await queue.getJobCounts('waiting', 'prioritized', 'active', 'delayed', 'failed')
      return { waiting: waiting + prioritized, active, delayed, failed }
    },
    async failures(run, limit = 10) {
      const jobs = (await failedOf(run)).slice(0, limit)
      return jobs.map(({ data, failedReason }) => ({ run, shard: data.shard, reason: failedReason }))
    },
    async removeFailed(run) {
      const jobs = await failedOf(run)
      await Promise.all(jobs.map(job => job.remove()))
      return jobs.length
    },
    progress: run => readProgress(redis, run),
    workers: () => readWorkers(redis, Date.now()),
    isFinalizing: run => leases.isHeld(run),
    async withFinalizeLease(job, finalize) {
      const id = jobId(job.run, job.shard)
      await using lease = await leases.acquire(job.run, () => {
        queue.add(QUEUE, job, { jobId: id, delay: RECHECK_MS }).catch(() => {})
      })
      if (lease === undefined) return undefined
      const ended = await finalize()
      const removed = queue.remove(id).catch(() => {})
      await Promise.race([removed, wait(ANSWER_MS, undefined, { ref: false })])
      return ended
    },
    async [Symbol.asyncDispose]() {
      await leases[Symbol.asyncDispose]()
      await queue.close()
      redis.disconnect()
    },
  }
}
