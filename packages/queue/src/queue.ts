// The producer's side of the queue. BullMQ delivers at least once and loses all jobs with its
// Redis. Both are harmless: a job is an idempotent pointer whose first step checks whether its
// shard exists, and a sweep enqueues missing shards again.

import { setTimeout as wait } from 'node:timers/promises'
import { deadlines, LIMITS, messageOf, ReembedError } from '@reembed/shared'
import type { DefaultJobOptions } from 'bullmq'
import type { QueueCounts } from './counts.ts'
import { countAll, countRun } from './counts.ts'
import { type FailedJob, readFailedIds, readFailures } from './failed-jobs.ts'
import { openFinalizeLeases } from './finalize-lease.ts'
import { type Job, jobData, type RunPointer } from './job.ts'
import { jobId, queueKey, REDIS_PREFIX, shardOfJobId } from './names.ts'
import { type PlanningEntry, readPlanning } from './planning.ts'
import { type RunProgress, readProgress, readWorkers, type WorkerState } from './progress.ts'
import { withReadyScripts } from './ready-jobs.ts'
import {
  type ConnectOptions,
  inspectRedis,
  queueOf,
  type RedisTarget,
  requireNoEviction,
  secureUrlOf,
} from './redis.ts'
import { connectRedis } from './redis-client.ts'
import { redisTime } from './redis-clock.ts'
import { createRedisReply } from './reply.ts'
import { watchData } from './settle.ts'
import { tracedAdd } from './trace.ts'

/** The queue as producers and sweepers use it. */
export interface Queue extends AsyncDisposable {
  /**
   * Adds jobs, and resolves to the number of those that the queue did not have, when Redis has
   * them. Idempotent: a job that the queue has is unchanged.
   */
  add(jobs: readonly Job[]): Promise<number>
  /**
   * If Redis has lost its data, waits until workers have had the time to put their jobs in progress
   * back. Resolves to whether it has waited.
   */
  settle(signal?: AbortSignal): Promise<boolean>
  /** Counts all jobs, or those of a run. */
  counts(of?: RunPointer): Promise<QueueCounts>
  /** Returns jobs of a run without attempts left, newest first, at most `limit`. */
  failures(of: RunPointer, limit?: number): Promise<FailedJob[]>
  /** The shards whose jobs have no attempts left. */
  failedShards(of: RunPointer): Promise<ReadonlySet<number>>
  /** Removes a run's failed jobs, so that `add` enqueues them again. Returns their number. */
  removeFailed(of: RunPointer): Promise<number>
  progress(of: RunPointer): Promise<RunProgress>
  workers(): Promise<WorkerState[]>
  /** The runs that are being planned for an output. */
  planning(output: string): Promise<PlanningEntry[]>
  /** Whether a process holds the finalize lease of the run; false if Redis does not answer. */
  isFinalizing(of: RunPointer): Promise<boolean>
  /**
   * Calls `work` under the finalize lease of a run; returns undefined if another process holds it.
   * @param kept a job of a finished shard: it stays on the queue meanwhile, delayed, so that an
   * autoscaler keeps a worker, and is removed then. A worker that takes it finds the shard and
   * checks the run again. The job of a missing shard would lose its attempts, or its failure.
   */
  withFinalizeLease<T>(of: RunPointer, work: () => Promise<T>, kept?: Job): Promise<T | undefined>
}

const BULK = 1_000
const DAY_S = 24 * 3600
/** Closing waits indefinitely for a Redis that does not answer. */
const CLOSE_MS = 500
/** Longer than most finalizations. */
const RECHECK_MS = 30_000

const jobOptions: DefaultJobOptions = {
  attempts: 5,
  backoff: { type: 'exponential', delay: 1_000, jitter: 0.5 },
  removeOnComplete: true,
  removeOnFail: { age: 7 * DAY_S, count: LIMITS.listedJobs },
  stackTraceLimit: 1,
}

/**
 * Opens the queue. Checks that Redis is reachable, supported and never evicts keys.
 * @throws ReembedError REDIS_UNREACHABLE or REDIS_MISCONFIGURED that names the address and the fix
 */
export async function openQueue(
  target: RedisTarget,
  { settleMs, ...options }: ConnectOptions & { readonly settleMs?: number } = {},
): Promise<Queue> {
  const [redisUrl, name] = [secureUrlOf(target), queueOf(target)]
  requireNoEviction(await inspectRedis(redisUrl, options), redisUrl)
  const redis = withReadyScripts(connectRedis(redisUrl))
  const reply = createRedisReply(redisUrl)
  const { replyMs } = deadlines().redis
  // ioredis reconnects; commands wait meanwhile until the deadline of `reply`.
  redis.on('error', () => {})
  // A dynamic import: commands without a queue start about 170 ms sooner.
  const { Queue: BullQueue } = await import('bullmq')
  const queue = new BullQueue<object>(name, {
    connection: redis,
    prefix: REDIS_PREFIX,
    defaultJobOptions: jobOptions,
    streams: { events: { maxLen: 1_000 } },
  })
  queue.on('error', () => {})
  const leases = openFinalizeLeases(redisUrl)
  const settle = watchData(redis, name, settleMs, reply)

  const key = (part: string): string => queueKey(part, name)
  const sort = () => redis.reembedSort(key('wait'), key('ready'), key('turn'))

  async function addMissing(jobs: readonly Job[]): Promise<number> {
    const found = await Promise.all(jobs.map(job => redis.exists(key(jobId(job)))))
    const missing = jobs.filter((_, i) => found[i] === 0)
    if (missing.length === 0) return 0
    await tracedAdd(missing, telemetry =>
      queue.addBulk(
        missing.map((job, i) => ({
          name,
          data: jobData(job),
          opts: { jobId: jobId(job), ...telemetry[i] },
        })),
      ),
    )
    await sort()
    return missing.length
  }

  return {
    async add(jobs) {
      let added = 0
      try {
        for (let start = 0; start < jobs.length; start += BULK) {
          added += await reply(() => addMissing(jobs.slice(start, start + BULK)))
        }
        return added
      } catch (error) {
        if (!/OOM/.test(messageOf(error))) throw error
        throw new ReembedError(
          'REDIS_MISCONFIGURED',
          'Redis is out of memory (maxmemory reached): raise maxmemory, then enqueue again; no data is lost',
          { retry: 'requeue', cause: error },
        )
      }
    },
    settle,
    async counts(of) {
      return reply(() => (of === undefined ? countAll(redis, name) : countRun(redis, name, of)))
    },
    failures: (of, limit = 10) => reply(() => readFailures(redis, name, of, limit)),
    async failedShards(of) {
      return new Set((await reply(() => readFailedIds(redis, name, of))).map(shardOfJobId))
    },
    async removeFailed(of) {
      const ids = await reply(() => readFailedIds(redis, name, of))
      await reply(() => Promise.all(ids.map(id => queue.remove(id))))
      return ids.length
    },
    progress: of => reply(() => readProgress(redis, of)),
    workers: () => reply(async () => readWorkers(redis, name, await redisTime(redis))),
    planning: output => reply(() => readPlanning(redis, name, output)),
    isFinalizing: of => leases.isHeld(of),
    async withFinalizeLease(of, work, kept) {
      let adding: Promise<unknown> = Promise.resolve()
      await using lease = await leases.acquire(of, () => {
        if (kept === undefined) return
        const addDelayed = async (): Promise<unknown> =>
          queue.add(name, jobData(kept), {
            jobId: jobId(kept),
            delay: RECHECK_MS,
            timestamp: await redisTime(redis),
          })
        adding = addDelayed().catch(() => {})
      })
      if (lease === undefined) return undefined
      const ended = await work()
      if (kept === undefined) return ended
      const id = jobId(kept)
      // A delayed job that is added after its removal would keep the shard from being enqueued. It
      // may also be due, and ready.
      const remove = () => Promise.allSettled([queue.remove(id), redis.zrem(key('ready'), id)])
      const removed = adding.then(remove)
      await Promise.race([removed, wait(replyMs, undefined, { ref: false })])
      return ended
    },
    async [Symbol.asyncDispose]() {
      await leases[Symbol.asyncDispose]()
      await Promise.race([queue.close(), wait(CLOSE_MS, undefined, { ref: false })])
      redis.disconnect()
    },
  }
}
