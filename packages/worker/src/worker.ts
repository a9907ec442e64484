// A worker takes jobs from the queue, several at once, and builds their shards. It holds no durable
// state: when it is killed, another worker repeats its jobs.

import { hostname } from 'node:os'
import { type EndpointOptions, parseTargets, probeEndpoint, type ReplicaEvent } from '@reembed/endpoint'
import { costOf } from '@reembed/protocol'
import {
  type Consumer,
  type ConsumerEvent,
  consume,
  type Job,
  type JobContext,
  openBudget,
  openLimitCoordinator,
  type RedisTarget,
} from '@reembed/queue'
import { deadlines, messageOf, type ReembedError, systemClock } from '@reembed/shared'
import type { S3Options } from '@reembed/store'
import { type Attributes, type Logger, type Registry, tracing } from '@reembed/telemetry'
import { createActivityMeter } from './activity.ts'
import { createJobBudgets } from './budget.ts'
import { createEmbedder } from './embedder.ts'
import { createWorkerHealth, unreadyReason } from './health.ts'
import { createIdWatch } from './id-watch.ts'
import { createLoadJobs, type ShardLoader } from './load-shard.ts'
import { createWorkerMetrics } from './metrics.ts'
import { processJob } from './process-job.ts'
import { createRunCache } from './run-cache.ts'
import { createSuspension, type Suspension } from './suspension.ts'

export interface WorkerOptions {
  readonly redis: RedisTarget
  readonly endpoint: string
  readonly endpointOptions?: EndpointOptions | undefined
  /** Outputs this worker serves, each with what lies below it. */
  readonly outputs: readonly string[]
  /**
   * Corpora that this worker reads, each with what lies below it: folders, files, globs, URLs. If
   * not given, every corpus that a plan names, except a local folder for an output that is not
   * local.
   */
  readonly sources?: readonly string[] | undefined
  /** Writes finished runs into vector stores; without it, the worker takes no jobs of loads. */
  readonly loader?: ShardLoader | undefined
  /** Number of concurrent jobs. Each holds one shard in memory, 64 MiB at most. */
  readonly concurrency?: number | undefined
  readonly s3?: S3Options | undefined
  /** Writes to a store without conditional writes: safe for a single worker only. */
  readonly unsafeStore?: boolean | undefined
  readonly log: Logger
  /** Registry for the metrics of this worker. */
  readonly metrics?: Registry | undefined
  /** Called when the queue has nothing more for this worker: a good moment to sweep. */
  readonly onIdle?: (() => void) | undefined
  /**
   * Called when jobs wait and none is fetched for a minute: end the process and let it be started
   * again.
   */
  readonly onStuck?: ((waiting: number) => void) | undefined
  /** Called with each failure and postponement of a job. */
  readonly onJobError?: ((error: unknown, job: JobFailure) => void) | undefined
  /**
   * Called with the cause when the worker has taken no jobs for `giveUpMs` because of a fault of
   * its own (see `Fault`): end the process, so that its supervisor reports it.
   */
  readonly onGiveUp?: ((error: ReembedError) => void) | undefined
  readonly giveUpMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** The job that an error concerns. */
export interface JobFailure {
  /** Undefined if the job could not be read. */
  readonly run: string | undefined
  readonly shard: number | undefined
  /** The job has no attempt left. */
  readonly final: boolean
}

export interface Worker extends AsyncDisposable {
  /**
   * Why the worker cannot process jobs: it drains, Redis or the store does not answer, the endpoint
   * refuses connections, or its own configuration is at fault. Null when it is ready.
   */
  readonly notReadyReason: string | null
  /** A short description of the endpoint's state. */
  readonly endpointState: string
  /** Outputs of the jobs it took: outputs below `outputs` are known only from jobs. */
  readonly seenOutputs: ReadonlySet<string>
  /**
   * Stops taking jobs. Jobs in progress may finish within `graceMs`; the rest is requeued at once.
   */
  drain(graceMs: number): Promise<void>
}

/**
 * Each worker of a process needs a unique name: with the same name they would share one member's
 * part of the limit.
 */
const nextName = (): string => `${hostname()}-${process.pid}${++named === 1 ? '' : `-${named}`}`
let named = 0

const DEFAULT_CONCURRENCY = 4
const HEARTBEAT_MS = 2_000
/** A rolling update of the endpoint within this time does not make a worker unready. */
const UNREACHABLE_MS = 15_000

/**
 * Starts a worker. It waits for an unavailable endpoint. @throws ReembedError when Redis cannot be
 * used, USAGE for an invalid endpoint
 */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const { redis, outputs, concurrency = DEFAULT_CONCURRENCY, log, signal } = options
  const name = nextName()
  // A restart or failover of Redis or the store in less time does not make a worker unready.
  const limits = deadlines()
  const runs = createRunCache(options)
  const seenOutputs = new Set<string>()
  const metrics = options.metrics && createWorkerMetrics(options.metrics, concurrency)
  const coordinator = openLimitCoordinator(
    redis,
    parseTargets(options.endpoint, options.endpointOptions).name,
  )
  const activity = createActivityMeter()
  const probe = (stop: AbortSignal) => probeEndpoint(options.endpoint, options.endpointOptions ?? {}, stop)
  const embedder = createEmbedder(options.endpoint, options.endpointOptions, {
    metrics,
    activity,
    coordinator,
    worker: name,
    onReplica,
    probe,
  })

  const ids = createIdWatch()
  const budgets = createJobBudgets(() => openBudget(redis), name)

  function onReplica({ kind, ...facts }: ReplicaEvent): void {
    const isBad = kind === 'ejected' || kind === 'quarantined' || kind === 'unreachable'
    log[isBad ? 'warn' : 'info'](facts, `replica ${kind.replace('_', ' ')}`)
  }

  const health = createWorkerHealth()
  let suspension: Suspension | undefined
  const { loader } = options
  const loads = loader && createLoadJobs(loader)
  async function load(job: Job, context: JobContext): Promise<void> {
    const startedMs = performance.now()
    using timer = activity.begin()
    const output = await timer.during('store', runs.output(job))
    const rows = await timer.during('store', Promise.resolve(loads?.run(output, job, context)))
    const facts = { run: job.run, load: job.load?.id, shard: job.shard, rows }
    const ms = Math.round(performance.now() - startedMs)
    log.info({ ...facts, ms }, rows === undefined ? 'job ended: its load is over' : 'shard loaded')
  }

  async function handle(job: Job, context: JobContext): Promise<void> {
    if (job.load) return load(job, context)
    try {
      await makeShard(job, context)
    } catch (error) {
      if (!context.signal.aborted) health.failed(error)
      throw error
    } finally {
      suspension?.update()
    }
  }

  async function makeShard(job: Job, context: JobContext): Promise<void> {
    const startedMs = performance.now()
    using timer = activity.begin()
    const run = await runs.open(job)
    seenOutputs.add(job.output)
    const made = await processJob(job, run, embedder, {
      ...context,
      budgets,
      ids,
      timer,
      onAnswered() {
        health.answered()
        suspension?.update()
      },
    })
    const ms = Math.round(performance.now() - startedMs)
    metrics?.recordJob(made, ms / 1000)
    const facts = { run: job.run, shard: job.shard, ms }
    if (made.status === 'stopped') {
      health.stopped()
      log.info(
        facts,
        'job ended without a shard: its run is paused, cancelled, deleted, over its budget, superseded by a newer version, or its model was replaced',
      )
      return
    }
    if (made.status === 'already_done') {
      log.debug(facts, 'shard exists already')
      return
    }
    // Only a put proves that this worker can read the corpus, embed and write.
    if (made.status === 'put') health.finished()
    const { documents, rows, rejects, truncated, unread } = made.receipt
    const { tokens, reused } = costOf(made.receipt, run.plan)
    const counts = {
      documents,
      rows,
      rejects: rejects.length,
      tokens: tokens ?? 0,
      bytes: made.bytes,
      truncated,
      unreadTokens: unread?.tokens ?? 0,
    }
    // A concurrent writer reports its own shard.
    if (made.status !== 'already_exists') await timer.during('redis', context.reportFinished(counts))
    tracing()?.annotate(inSpan(made.status, counts))
    log.info({ ...facts, ...counts, reused, status: made.status }, 'shard finished')
  }

  const isProven = (job: Job): boolean => (job.load ? loads?.isProven === true : health.isProven)
  const observer = { worker: name, isProven }
  const consuming = { concurrency, outputs, stores: loader?.stores, observer, signal, onEvent }
  async function close(): Promise<void> {
    await loader?.[Symbol.asyncDispose]()
    await embedder[Symbol.asyncDispose]()
    await budgets[Symbol.asyncDispose]()
    await coordinator[Symbol.asyncDispose]()
    await runs[Symbol.asyncDispose]()
    metrics?.[Symbol.dispose]()
  }
  const consumer: Consumer = await consume(redis, handle, consuming).catch(async (error: unknown) => {
    await close()
    throw error
  })
  const { onGiveUp, giveUpMs } = options
  suspension = createSuspension({
    health,
    consumer,
    probe,
    log,
    clock: systemClock,
    onGiveUp,
    giveUpMs,
  })

  function onEvent(event: ConsumerEvent): void {
    metrics?.recordEvent(event)
    if (event.kind === 'idle') options.onIdle?.()
    else if (event.kind === 'not_fetching') options.onStuck?.(event.waiting)
    else if (event.kind === 'started')
      log.debug({ run: event.job.run, shard: event.job.shard }, 'job started')
    else if (event.kind === 'no_progress')
      log.warn(
        { job: event.id },
        `job makes no progress: no document in ${event.minutes} min; endpoint: ${embedder.state}`,
      )
    else if (event.kind === 'removed')
      log.warn(
        { job: event.id },
        'removed a job that another program wrote to Redis: it is too large; a sweep enqueues its shard again',
      )
    else if (event.kind === 'stalled') log.info({ job: event.id }, 'job of a lost worker requeued')
    else if (event.kind === 'requeued')
      log.info({ run: event.job.run, shard: event.job.shard }, 'job requeued')
    else if (event.kind === 'redis_error')
      log.warn({ times: event.times }, `Redis: ${messageOf(event.error)}`)
    else if (event.kind === 'failed' || event.kind === 'delayed') {
      const facts = { run: event.job?.run, shard: event.job?.shard, final: event.final }
      // A fault of this worker is reported once, when it stops taking jobs.
      const level = event.final ? 'error' : health.isSuspended ? 'debug' : 'warn'
      log[level](facts, `job ${event.kind}: ${messageOf(event.error)}`)
      options.onJobError?.(event.error, facts)
    }
  }

  const sendHeartbeat = (): void => {
    const endpoint = unreadyReason(health) ?? embedder.state
    const sent = consumer.heartbeat({
      worker: name,
      endpoint,
      activity: activity.read(embedder),
      loadFault: loads?.fault,
    })
    sent.then(
      () => {
        heardMs = performance.now()
      },
      () => {},
    )
  }
  let heardMs = performance.now()
  const heart = setInterval(sendHeartbeat, HEARTBEAT_MS)
  heart.unref()
  sendHeartbeat()
  log.info({ worker: name, concurrency }, 'worker started')

  let ended: Promise<void> | undefined
  let draining = false
  async function end(graceMs: number): Promise<void> {
    clearInterval(heart)
    draining = true
    suspension?.[Symbol.dispose]()
    await consumer.drain(graceMs)
    await close()
    log.info({ worker: name }, 'worker drained')
  }

  return {
    get endpointState() {
      return embedder.state
    },
    get notReadyReason() {
      if (draining) return 'draining'
      const silentMs = performance.now() - heardMs
      if (silentMs > limits.unreadyMs) return `no reply from Redis for ${Math.round(silentMs / 1000)} s`
      for (const [dependency, sinceMs] of limits.silentSince) {
        const ms = performance.now() - sinceMs
        if (ms > limits.unreadyMs) return `no reply from ${dependency} for ${Math.round(ms / 1000)} s`
      }
      const { unreachable } = embedder
      if (unreachable && unreachable.ms > UNREACHABLE_MS)
        return `endpoint unreachable for ${Math.round(unreachable.ms / 1000)} s: ${unreachable.reason}`
      return unreadyReason(health)
    },
    seenOutputs,
    drain: graceMs => (ended ??= end(graceMs)),
    [Symbol.asyncDispose]: () => (ended ??= end(0)),
  }
}

const inSpan = (status: string, counts: Readonly<Record<string, number>>): Attributes => ({
  'reembed.shard.status': status,
  ...Object.fromEntries(Object.entries(counts).map(([name, count]) => [`reembed.shard.${name}`, count])),
})
