// The worker's side of the queue: takes jobs, keeps their locks, and turns the outcome of each into the right word
// to BullMQ. Overload, cold starts and outages ('later') hand the job back without spending one of its attempts.

import { once } from 'node:events'
import { messageOf } from '@reembed/shared'
import type { Job as BullJob } from 'bullmq'
import { dispositionOf } from './disposition.ts'
import { type Job, parseJob } from './job.ts'
import { createJobMonitor } from './job-monitor.ts'
import { QUEUE, REDIS_PREFIX } from './names.ts'
import {
  recordDocuments,
  recordHeartbeat,
  recordShard,
  removeOpenShard,
  removeWorker,
  type ShardCounts,
  type WorkerState,
} from './progress.ts'
import {
  type ConnectOptions,
  connectRedis,
  inspectRedis,
  type RedisTarget,
  requireNoEviction,
  secureUrlOf,
} from './redis.ts'
import { tracedAttempt } from './trace.ts'

/** What a handler may tell the world while it works and when its shard is done. */
export interface JobContext {
  /** Aborted when the job's lock is lost or the worker must go: stop, write nothing more. */
  readonly signal: AbortSignal
  /** Documents of this job that are embedded so far. */
  reportDocuments(count: number): void
  reportFinished(counts: ShardCounts): Promise<void>
}

export interface ConsumeOptions extends ConnectOptions {
  /** Jobs taken at once. */
  readonly concurrency: number
  /** Told about everything that people may want in a log. */
  readonly onEvent?: (event: ConsumerEvent) => void
}

export type ConsumerEvent =
  | { readonly kind: 'started' | 'done' | 'requeued'; readonly job: Job }
  | {
      readonly kind: 'failed' | 'delayed'
      readonly job: Job | undefined
      readonly error: unknown
      readonly final: boolean
    }
  | { readonly kind: 'idle' }
  /** Jobs wait and this worker fetches none: its connection is dead in a way that only a new process mends. */
  | { readonly kind: 'not_fetching'; readonly waiting: number }
  /** A job under way here that has got no document on for minutes, while its lock is renewed. */
  | { readonly kind: 'no_progress'; readonly id: string; readonly minutes: number }
  /** A job of a worker that vanished was found and is queued again; told by the worker that found it. */
  | { readonly kind: 'stalled'; readonly id: string }
  | { readonly kind: 'redis_error'; readonly error: unknown; readonly times: number }

export interface Consumer extends AsyncDisposable {
  /** Says that this worker lives. */
  heartbeat(state: WorkerState): Promise<void>
  /** Stops taking jobs; those under way may finish within `graceMs`, then they are handed back to the queue. */
  drain(graceMs: number): Promise<void>
}

// A killed worker's jobs are found after at most LOCK_MS + STALL_CHECK_MS. A job that loses its worker is not to
// blame, spot machines vanish all the time: only after MAX_STALLS does BullMQ set it aside as failed.
const LOCK_MS = 20_000
const STALL_CHECK_MS = 5_000
const MAX_STALLS = 8
/** Progress is for people: a job writes it to Redis no oftener than this. */
const NOTE_MS = 500
/** How long handing jobs back may take once the grace period is over. */
const HAND_BACK_MS = 3_000
/** What a job may take of it to notice: opening an endpoint or a store does not look at the signal. */
const NOTICE_MS = 500
const WATCH_MS = 5_000
const STUCK_MS = 60_000
/** Longer than an endpoint may be away, a source take to come to a slice within a packed file, or a share to come round. */
const STILL_MS = 15 * 60_000
/** BullMQ's list of jobs that wait. */
const WAITING = `${REDIS_PREFIX}:${QUEUE}:wait`
/** BullMQ fetches in a hot loop while Redis refuses commands (full memory): after this many errors in a second, pause. */
const STORM = 3

/**
 * Takes jobs and runs `handle` for each until drained.
 * @throws ReembedError REDIS_UNREACHABLE or REDIS_MISCONFIGURED at the start; later outages are waited for.
 */
export async function consume(
  target: RedisTarget,
  handle: (job: Job, context: JobContext) => Promise<void>,
  { concurrency, onEvent = () => {}, ...connect }: ConsumeOptions,
): Promise<Consumer> {
  const redisUrl = secureUrlOf(target)
  requireNoEviction(await inspectRedis(redisUrl, connect), redisUrl)
  const { DelayedError, UnrecoverableError, WaitingError, Worker } = await import('bullmq')
  const redis = connectRedis(redisUrl)
  redis.on('error', () => {})
  const handBack = new AbortController()
  const monitor = createJobMonitor({ lockMs: LOCK_MS, notFetchingMs: STUCK_MS, noProgressMs: STILL_MS })
  let name: string | undefined
  // Idle is: nothing waits and nothing is under way here. BullMQ's 'drained' alone would not do: it is told once, by the
  // first of several fetches that finds nothing, while another may have found the last job.
  let underWay = 0
  const tellIdle = async (): Promise<void> => {
    if (underWay > 0 || redis.status !== 'ready' || (await redis.llen(WAITING)) > 0) return
    if (underWay === 0) onEvent({ kind: 'idle' })
  }

  // BullMQ gives its processor a signal only if it declares three parameters.
  const worker = new Worker<unknown, void>(QUEUE, (bull, token, signal) => process(bull, token, signal), {
    connection: redis,
    prefix: REDIS_PREFIX,
    concurrency,
    lockDuration: LOCK_MS,
    stalledInterval: STALL_CHECK_MS,
    maxStalledCount: MAX_STALLS,
  })

  async function process(
    bull: BullJob<unknown>,
    token: string | undefined,
    lost: AbortSignal | undefined,
  ): Promise<void> {
    const { id = '' } = bull
    let job: Job | undefined
    let done = false
    underWay += 1
    const signal = lost ? AbortSignal.any([lost, handBack.signal]) : handBack.signal
    try {
      job = parseJob(bull.data)
      const { run, shard } = job
      monitor.started(id)
      onEvent({ kind: 'started', job })
      let notedMs = 0
      const context: JobContext = {
        signal,
        reportDocuments(count) {
          monitor.progressed(id)
          if (Date.now() - notedMs < NOTE_MS) return
          notedMs = Date.now()
          recordDocuments(redis, run, shard, count).catch(() => {})
        },
        reportFinished: counts => recordShard(redis, run, shard, counts).catch(() => {}),
      }
      const taken = job
      const trace = { traceContext: bull.opts.telemetry?.metadata, attempt: bull.attemptsMade + 1 }
      await tracedAttempt(taken, trace, () => unlessLeft(handle(taken, context), handBack.signal))
      done = true
      onEvent({ kind: 'done', job })
    } catch (error) {
      if (job) await removeOpenShard(redis, job.run, job.shard).catch(() => {})
      const disposition = dispositionOf(error, { draining: handBack.signal.aborted && job !== undefined })
      if (disposition.do === 'requeue' && job) {
        onEvent({ kind: 'requeued', job })
        await bull.moveToWait(token)
        throw new WaitingError()
      }
      if (disposition.do === 'delay') {
        onEvent({ kind: 'delayed', job, error, final: false })
        await bull.moveToDelayed(Date.now() + disposition.delayMs, token)
        throw new DelayedError()
      }
      const final = disposition.do === 'fail' || bull.attemptsMade + 1 >= (bull.opts.attempts ?? 1)
      onEvent({ kind: 'failed', job, error, final })
      throw disposition.do === 'fail' ? new UnrecoverableError(messageOf(error)) : new Error(messageOf(error))
    } finally {
      if (job) monitor.ended(id)
      underWay -= 1
      // A job that was put off leaves nothing new to see.
      if (done) tellIdle().catch(() => {})
    }
  }

  const giveUp = (ids: readonly string[]): void => {
    for (const id of ids) worker.cancelJob(id, 'the lock was lost: another worker may have the job')
  }
  worker.on('lockRenewalFailed', giveUp)
  worker.on('locksRenewed', ({ jobIds }) => monitor.renewed(jobIds))
  const watching = setInterval(() => {
    giveUp(monitor.lostLocks())
    for (const id of monitor.withoutProgress())
      onEvent({ kind: 'no_progress', id, minutes: STILL_MS / 60_000 })
    if (worker.isPaused() || handBack.signal.aborted) return
    const waiting = redis.status === 'ready' ? redis.llen(WAITING) : Promise.resolve(0)
    void waiting.then(
      count => monitor.isNotFetching(count) && onEvent({ kind: 'not_fetching', waiting: count }),
      () => {},
    )
  }, WATCH_MS)
  watching.unref()
  worker.on('drained', () => {
    tellIdle().catch(() => {})
  })
  worker.on('stalled', id => onEvent({ kind: 'stalled', id }))

  const errors = { times: 0, since: 0, pauseMs: 1_000 }
  worker.on('error', error => {
    const now = Date.now()
    if (now - errors.since > 1_000) {
      if (errors.times > 0) onEvent({ kind: 'redis_error', error, times: errors.times })
      errors.times = 0
      errors.since = now
    }
    errors.times += 1
    if (errors.times !== STORM || worker.isPaused() || handBack.signal.aborted) return
    onEvent({ kind: 'redis_error', error, times: errors.times })
    void worker.pause(true).catch(() => {})
    setTimeout(() => worker.resume(), errors.pauseMs).unref()
    errors.pauseMs = Math.min(2 * errors.pauseMs, 30_000)
  })
  worker.on('completed', () => {
    errors.pauseMs = 1_000
  })

  await worker.waitUntilReady()
  let drained: Promise<void> | undefined

  async function drain(graceMs: number): Promise<void> {
    clearInterval(watching)
    const timer = setTimeout(() => handBack.abort(new Error('the worker must go')), graceMs)
    // With Redis gone, closing would wait for it without end; the jobs are then found by the stall check.
    const late = once(AbortSignal.timeout(graceMs + HAND_BACK_MS), 'abort')
    try {
      await Promise.race([leave(), late])
    } finally {
      clearTimeout(timer)
      handBack.abort()
      worker.disconnect().catch(() => {})
      redis.disconnect()
    }
  }

  async function leave(): Promise<void> {
    await worker.close().catch(() => {})
    if (name !== undefined) await removeWorker(redis, name).catch(() => {})
  }

  return {
    async heartbeat(state) {
      name = state.worker
      await recordHeartbeat(redis, state)
    },
    drain: graceMs => (drained ??= drain(graceMs)),
    [Symbol.asyncDispose]: () => (drained ??= drain(0)),
  }
}

/** The outcome of `handled`; a worker that must go leaves a job behind that does not end by itself. */
async function unlessLeft(handled: Promise<void>, leaving: AbortSignal): Promise<void> {
  const left = Promise.withResolvers<never>()
  let timer: NodeJS.Timeout | undefined
  const leave = (): void => {
    timer = setTimeout(() => left.reject(leaving.reason), NOTICE_MS)
  }
  leaving.addEventListener('abort', leave, { once: true })
  if (leaving.aborted) leave()
  try {
    await Promise.race([handled, left.promise])
  } finally {
    clearTimeout(timer)
    leaving.removeEventListener('abort', leave)
  }
}
