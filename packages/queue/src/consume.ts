// The worker's side of the queue: takes jobs, renews their locks, and reports the disposition of
// each job to BullMQ. Transient conditions (overload, cold start, outage) requeue the job without
// spending one of its attempts.

import { once } from 'node:events'
import { deadlines, messageOf, unlessAborted } from '@reembed/shared'
import type { Job as BullJob } from 'bullmq'
import { dispositionOf, type Observations, type Observer } from './disposition.ts'
import { createHeldJobs, type HeldJob } from './held-jobs.ts'
import { type Job, loadOutput, parseJob } from './job.ts'
import { createJobMonitor } from './job-monitor.ts'
import { normalOutput, queueKey, REDIS_PREFIX, runKey } from './names.ts'
import {
  readWorkers,
  recordDocuments,
  recordHeartbeat,
  recordShard,
  removeOpenShard,
  removeWorker,
  requireAnnounceable,
  type ShardCounts,
  servesOutput,
  type WorkerState,
} from './progress.ts'
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
import { openRedisClock } from './redis-clock.ts'
import { createRedisReply } from './reply.ts'
import { requireRights } from './rights.ts'
import { createRunBackoff } from './run-backoff.ts'
import { tracedAttempt } from './trace.ts'

/** Ends a job whose lock is lost, or whose worker shuts down, so that it keeps what it has made. */
export interface JobStop {
  /** The handler should send nothing more. */
  readonly begun: AbortSignal
  /** The handler should wait for no reply any more, write what it has, and throw. */
  readonly over: AbortSignal
}

/** The signal and the progress reports of one job. */
export interface JobContext {
  readonly stop: JobStop
  /** Aborted after `stop`: the handler must stop and write nothing more. */
  readonly signal: AbortSignal
  /** Reports how many documents of this job are embedded. */
  reportDocuments(count: number): void
  /** Reports a finished shard. Never fails: progress is not authoritative. */
  reportFinished(counts: ShardCounts): Promise<void>
}

export interface ConsumeOptions extends ConnectOptions {
  /** Maximum number of concurrent jobs. */
  readonly concurrency: number
  /** Outputs whose jobs this worker takes, each with what lies below it. */
  readonly outputs: readonly string[]
  /** Vector stores into which it loads runs of these outputs, see `storeKey`. */
  readonly stores?: readonly string[] | undefined
  /**
   * What decides whether a fault of a job counts at once; without it, each fault counts (see
   * disposition.ts).
   */
  readonly observer?: { readonly worker: string; readonly isProven: (job: Job) => boolean } | undefined
  /** Called for each event, for example to log it. */
  readonly onEvent?: (event: ConsumerEvent) => void
}

/** An event of a consumer. `final` means that the job has no attempt left. */
export type ConsumerEvent =
  | { readonly kind: 'started' | 'done' | 'requeued'; readonly job: Job }
  | {
      readonly kind: 'failed' | 'delayed'
      readonly job: Job | undefined
      readonly error: unknown
      readonly final: boolean
    }
  | { readonly kind: 'idle' }
  /**
   * Jobs wait but this worker fetches none: its connection is dead, and only a new process
   * recovers.
   */
  | { readonly kind: 'not_fetching'; readonly waiting: number }
  /** A job in progress has embedded no document for minutes while its lock is renewed. */
  | { readonly kind: 'no_progress'; readonly id: string; readonly minutes: number }
  /** This worker found the job of a worker that vanished and requeued it. */
  | { readonly kind: 'stalled'; readonly id: string }
  /** A job that is too large to be one of reembed was removed; a sweep enqueues its shard again. */
  | { readonly kind: 'removed'; readonly id: string }
  | { readonly kind: 'redis_error'; readonly error: unknown; readonly times: number }

/** A running consumer. Disposal drains without a grace period. */
export interface Consumer extends AsyncDisposable {
  /**
   * Publishes that this worker is alive, with the state of its endpoint, and puts its jobs back if
   * Redis has lost them. Due every two seconds: after a loss, a sweep waits SETTLE_MS for it.
   */
  heartbeat(state: Omit<WorkerState, 'outputs' | 'atMs'>): Promise<void>
  /** Stops taking jobs until `resume` or `takeOne`. Jobs in progress continue. */
  suspend(): void
  /** Takes the next job and suspends again. Resolves when that job has ended. */
  takeOne(): Promise<void>
  /** Takes jobs again. */
  resume(): void
  /**
   * Stops taking jobs. Jobs in progress may finish within `graceMs`; the rest keep what they have
   * in the last 5 s of it (at least 1 s), and are requeued.
   */
  drain(graceMs: number): Promise<void>
}

// Another worker finds the jobs of a killed worker after at most LOCK_MS + STALL_CHECK_MS. Losing
// its worker is usually not the job's fault (spot machines vanish), so BullMQ fails it only after
// MAX_STALLS.
const LOCK_MS = 20_000
const STALL_CHECK_MS = 5_000
const MAX_STALLS = 8
/** Minimum interval of a job's progress writes to Redis. */
const PROGRESS_MS = 500
/** Time between the stop of a job and its signal: for replies in flight, and for a checkpoint. */
const STOP_MS = 5_000
/** The least, where the grace period is shorter. */
const MIN_STOP_MS = 1_000
/** This part of it is for replies, the rest for the checkpoint. */
const REPLIES = 0.6
/** Maximum time to requeue jobs after the grace period. */
const REQUEUE_MS = 3_000
/**
 * The part of REQUEUE_MS in which a job may react to the abort signal: opening an endpoint or a
 * store does not check it.
 */
const ABORT_GRACE_MS = 500
/** A timer may fire a millisecond early. */
const TIMER_MS = 2
const WATCH_MS = 5_000
const STUCK_MS = 60_000
/**
 * Longer than any legitimate pause: an unavailable endpoint, decompression up to a slice in a
 * compressed object, or the wait for a share of the limit.
 */
const NO_PROGRESS_MS = 15 * 60_000
/**
 * BullMQ fetches in a hot loop while Redis refuses commands (out of memory). After this many errors
 * within a second, pause.
 */
const MAX_ERRORS_PER_SECOND = 3

/**
 * Takes jobs and calls `handle` for each until drained.
 * @throws ReembedError REDIS_UNREACHABLE or REDIS_MISCONFIGURED at the start, USAGE for outputs
 *   that no heartbeat has room for. Later the consumer waits for an unreachable Redis.
 */
export async function consume(
  target: RedisTarget,
  handle: (job: Job, context: JobContext) => Promise<void>,
  { concurrency, outputs, stores = [], observer, onEvent = () => {}, ...given }: ConsumeOptions,
): Promise<Consumer> {
  const embedded = outputs.map(normalOutput)
  const served = [...embedded, ...stores.flatMap(store => embedded.map(output => loadOutput(store, output)))]
  requireAnnounceable(served)
  const [redisUrl, queue] = [secureUrlOf(target), queueOf(target)]
  // A failover may happen at any moment of the start.
  const connect = { ...given, timeoutMs: given.timeoutMs ?? deadlines().redis.readyMs }
  requireNoEviction(await inspectRedis(redisUrl, connect), redisUrl)
  await unlessAborted(connect.signal, requireRights(redisUrl))
  const { DelayedError, UnrecoverableError, WaitingError } = await import('bullmq')
  const { createFairBackend, FairWorker } = await import('./fair-worker.ts')
  const redis = withReadyScripts(connectRedis(redisUrl))
  redis.on('error', () => {})
  // Later, the consumer waits for Redis indefinitely.
  const replyAtStart = createRedisReply(redisUrl, deadlines().redis.readyMs)
  const clock = await unlessAborted(
    connect.signal,
    replyAtStart(() => openRedisClock(redis)),
  ).catch((error: unknown) => {
    redis.disconnect()
    throw error
  })
  const leaving = new AbortController()
  const repliesOver = new AbortController()
  const shutdown = new AbortController()
  const monitor = createJobMonitor({ lockMs: LOCK_MS, notFetchingMs: STUCK_MS, noProgressMs: NO_PROGRESS_MS })
  const held = createHeldJobs(redis, queue, LOCK_MS)
  const backoff = createRunBackoff()
  let intake: 'open' | 'one' | 'closed' = 'open'
  // A suspended worker tries a job of any run.
  const skipped = (): readonly string[] => (intake === 'open' ? backoff.skipped : [])
  let name: string | undefined
  // Idle: no job waits that this worker serves, and none is in progress here. BullMQ's 'drained' is
  // not sufficient: the first of several concurrent fetches that finds no job emits it once, while
  // another may have taken the last job.
  let inProgress = 0
  const countServed = (): Promise<number> => {
    const [runs, keys] = [skipped(), ['wait', 'ready', ''].map(part => queueKey(part, queue))]
    return redis.reembedCount(...keys, runs.length, ...runs, ...served)
  }
  const emitIfIdle = async (): Promise<void> => {
    if (inProgress > 0 || redis.status !== 'ready' || (await countServed()) > 0) return
    if (inProgress === 0) onEvent({ kind: 'idle' })
  }

  // BullMQ passes a signal only to a processor that declares three parameters.
  const worker = new FairWorker<unknown>(
    queue,
    (bull, token, signal) => process(bull, token, signal),
    {
      connection: redis,
      prefix: REDIS_PREFIX,
      concurrency,
      lockDuration: LOCK_MS,
      stalledInterval: STALL_CHECK_MS,
      maxStalledCount: MAX_STALLS,
    },
    createFairBackend({
      outputs: served,
      skipped,
      clock,
      onRemoved(id) {
        onEvent({ kind: 'removed', id })
        emitIfIdle().catch(() => {})
      },
    }),
  )

  let one = Promise.withResolvers<void>()
  function setIntake(to: typeof intake): void {
    intake = to
    worker.concurrency = to === 'open' ? concurrency : 1
    void (to === 'closed' ? worker.pause(true) : worker.resume()).catch(() => {})
  }

  /** What is known about this worker and about earlier faults of the job. */
  async function observe(job: Job, progress: unknown): Promise<Observer | undefined> {
    if (observer === undefined) return undefined
    const { worker } = observer
    const live = await readWorkers(redis, queue, clock.now()).catch(() => undefined)
    return {
      worker,
      isProven: observer.isProven(job),
      others: live
        ?.filter(other => other.worker !== worker && servesOutput(other.outputs, servedAs(job)))
        .map(other => other.worker),
      earlier: observationsOf(progress),
    }
  }

  /** Ends the blocking read of a worker. */
  const wake = (): void => void redis.zadd(queueKey('marker', queue), 0, '0').catch(() => {})
  function leaveAlone(job: Job, delayMs: number): void {
    setTimeout(wake, backoff.blocked(runKey(job), delayMs) + TIMER_MS).unref()
  }
  function takeAgain(run: string): void {
    if (backoff.passed(run)) wake()
  }

  async function process(
    bull: BullJob<unknown>,
    token: string | undefined,
    lost: AbortSignal | undefined,
  ): Promise<void> {
    const { id = '' } = bull
    let job: Job | undefined
    let done = false
    inProgress += 1
    const tried = intake === 'one' ? one : undefined
    if (tried) setIntake('closed')
    const hold = held.hold(heldJobOf(bull, token))
    const replies = abortedAfter(lost, REPLIES * STOP_MS)
    const overdue = abortedAfter(lost, STOP_MS)
    const stop: JobStop = {
      begun: lost ? AbortSignal.any([lost, leaving.signal]) : leaving.signal,
      over: AbortSignal.any([replies.signal, repliesOver.signal]),
    }
    const signal = AbortSignal.any([overdue.signal, shutdown.signal])
    try {
      const taken = parseJob(bull.data)
      job = taken
      monitor.started(id)
      const run = runKey(taken)
      backoff.started(run)
      onEvent({ kind: 'started', job })
      let writtenMs = 0
      const context: JobContext = {
        stop,
        signal,
        reportDocuments(count) {
          monitor.progressed(id)
          takeAgain(run)
          if (Date.now() - writtenMs < PROGRESS_MS) return
          writtenMs = Date.now()
          recordDocuments(redis, taken, count).catch(() => {})
        },
        reportFinished: counts => recordShard(redis, taken, counts).catch(() => {}),
      }
      const trace = { traceContext: bull.opts.telemetry?.metadata, attempt: bull.attemptsMade + 1 }
      const handled = async (): Promise<void> => {
        await hold.alone
        await handle(taken, context)
      }
      await tracedAttempt(taken, trace, () => unlessAbandoned(handled(), shutdown.signal))
      done = true
      takeAgain(run)
      onEvent({ kind: 'done', job })
    } catch (error) {
      if (job) await removeOpenShard(redis, job).catch(() => {})
      const disposition = dispositionOf(error, {
        draining: leaving.signal.aborted && job !== undefined,
        observer: job && (await observe(job, bull.progress)),
      })
      hold.release()
      // A worker that has not finished a job suspends itself, after a few faults of its own.
      const isProven = job?.load !== undefined || (job && observer?.isProven(job)) !== false
      if (job && isProven && disposition.do === 'delay' && disposition.observations === undefined)
        leaveAlone(job, disposition.delayMs)
      else if (job) takeAgain(runKey(job))
      if (disposition.do === 'requeue' && job) {
        onEvent({ kind: 'requeued', job })
        await bull.moveToWait(token)
        throw new WaitingError()
      }
      if (disposition.do === 'delay') {
        onEvent({ kind: 'delayed', job, error, final: false })
        const { observations } = disposition
        if (observations !== undefined) await bull.updateProgress({ ...observations })
        await bull.moveToDelayed(Date.now() + disposition.delayMs, token)
        throw new DelayedError()
      }
      const final = disposition.do === 'fail' || bull.attemptsMade + 1 >= (bull.opts.attempts ?? 1)
      onEvent({ kind: 'failed', job, error, final })
      throw disposition.do === 'fail' ? new UnrecoverableError(messageOf(error)) : new Error(messageOf(error))
    } finally {
      hold.release()
      replies.stop()
      overdue.stop()
      if (job) monitor.ended(id)
      inProgress -= 1
      tried?.resolve()
      // A delayed or requeued job does not change whether the queue is empty.
      if (done) emitIfIdle().catch(() => {})
    }
  }

  const cancelJobs = (ids: readonly string[]): void => {
    for (const id of ids) worker.cancelJob(id, 'the lock was lost: another worker may run the job')
  }
  const restore = async (): Promise<void> => {
    const { restored, lost } = await held.restore()
    monitor.renewed(restored)
    cancelJobs(lost)
  }
  // Without an answer the next heartbeat tries again, until the lock has expired.
  const tryRestore = (): void => void restore().catch(() => {})
  worker.on('lockRenewalFailed', tryRestore)
  redis.on('ready', tryRestore)
  worker.on('locksRenewed', ({ jobIds }) => monitor.renewed(jobIds))
  const watching = setInterval(() => {
    if (redis.status === 'ready') clock.sync().catch(() => {})
    cancelJobs(monitor.lostLocks())
    for (const id of monitor.withoutProgress())
      onEvent({ kind: 'no_progress', id, minutes: NO_PROGRESS_MS / 60_000 })
    if (worker.isPaused() || leaving.signal.aborted) return
    const waiting = redis.status === 'ready' ? countServed() : Promise.resolve(0)
    void waiting.then(
      count => monitor.isNotFetching(count) && onEvent({ kind: 'not_fetching', waiting: count }),
      () => {},
    )
  }, WATCH_MS)
  watching.unref()
  worker.on('drained', () => {
    emitIfIdle().catch(() => {})
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
    if (errors.times !== MAX_ERRORS_PER_SECOND || worker.isPaused() || shutdown.signal.aborted) return
    onEvent({ kind: 'redis_error', error, times: errors.times })
    void worker.pause(true).catch(() => {})
    setTimeout(() => setIntake(intake), errors.pauseMs).unref()
    errors.pauseMs = Math.min(2 * errors.pauseMs, 30_000)
  })
  worker.on('completed', () => {
    errors.pauseMs = 1_000
  })

  let drained: Promise<void> | undefined

  async function drain(graceMs: number): Promise<void> {
    clearInterval(watching)
    const reason = new Error('the worker shuts down')
    const endMs = Math.max(graceMs, MIN_STOP_MS)
    const stopMs = Math.max(0, endMs - STOP_MS)
    const timers = [
      setTimeout(() => leaving.abort(reason), stopMs),
      setTimeout(() => repliesOver.abort(reason), stopMs + REPLIES * (endMs - stopMs)),
      setTimeout(() => shutdown.abort(reason), endMs),
    ]
    // Closing waits indefinitely for an unreachable Redis. The stall check of another worker then
    // finds the jobs.
    const late = once(AbortSignal.timeout(endMs + REQUEUE_MS), 'abort')
    try {
      await Promise.race([leave(), late])
    } finally {
      for (const timer of timers) clearTimeout(timer)
      for (const each of [leaving, repliesOver, shutdown]) each.abort(reason)
      worker.disconnect().catch(() => {})
      redis.disconnect()
    }
  }

  async function leave(): Promise<void> {
    await worker.close().catch(() => {})
    if (name !== undefined) await removeWorker(redis, queue, name).catch(() => {})
  }

  await unlessAborted(
    connect.signal,
    replyAtStart(() => worker.waitUntilReady()),
  ).catch((error: unknown) => {
    void drain(0)
    throw error
  })

  return {
    async heartbeat(state) {
      name = state.worker
      const beat = { ...state, outputs: served, atMs: clock.now() }
      await Promise.all([recordHeartbeat(redis, queue, beat), restore()])
    },
    suspend: () => setIntake('closed'),
    takeOne() {
      one = Promise.withResolvers()
      setIntake('one')
      return one.promise
    },
    resume: () => setIntake('open'),
    drain: graceMs => (drained ??= drain(graceMs)),
    [Symbol.asyncDispose]: () => (drained ??= drain(0)),
  }
}

/** The output as workers serve it. */
const servedAs = ({ output, load }: Job): string => (load ? loadOutput(load.store, output) : output)

/** A job in progress as `createHeldJobs` needs it. */
function heldJobOf(bull: BullJob<unknown>, token = ''): HeldJob {
  const { name, data, opts } = bull.asJSON()
  return { id: bull.id ?? '', token, name, data, opts: JSON.stringify(opts), timestamp: bull.timestamp }
}

/** The observed faults of a job, from its progress in Redis, which is untrusted. */
function observationsOf(progress: unknown): Observations {
  const { count, by } = Object(progress) as Record<keyof Observations, unknown>
  return {
    count: Number.isSafeInteger(count) ? Number(count) : 0,
    by: Array.isArray(by) ? by.filter(worker => typeof worker === 'string') : [],
  }
}

/** A signal that aborts `ms` after `first`, with its reason; `stop` ends the wait. */
function abortedAfter(
  first: AbortSignal | undefined,
  ms: number,
): { readonly signal: AbortSignal; stop(): void } {
  const second = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const begin = (): void => {
    timer = setTimeout(() => second.abort(first?.reason), ms)
  }
  first?.addEventListener('abort', begin, { once: true })
  if (first?.aborted) begin()
  return {
    signal: second.signal,
    stop() {
      first?.removeEventListener('abort', begin)
      clearTimeout(timer)
    },
  }
}

/**
 * The outcome of `handled`. Rejects if the job does not end within ABORT_GRACE_MS after `leaving`
 * aborts.
 */
async function unlessAbandoned(handled: Promise<void>, leaving: AbortSignal): Promise<void> {
  const abandoned = Promise.withResolvers<never>()
  let timer: NodeJS.Timeout | undefined
  const leave = (): void => {
    timer = setTimeout(() => abandoned.reject(leaving.reason), ABORT_GRACE_MS)
  }
  leaving.addEventListener('abort', leave, { once: true })
  if (leaving.aborted) leave()
  try {
    await Promise.race([handled, abandoned.promise])
  } finally {
    clearTimeout(timer)
    leaving.removeEventListener('abort', leave)
  }
}
