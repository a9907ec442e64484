import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import type { ResolvedEndpoint } from '@reembed/endpoint'
import { sweepOutputs } from '@reembed/producer'
import { type RedisTarget, redisAddress } from '@reembed/queue'
import { counted } from '@reembed/render'
import { absoluteUrl, EXIT, messageOf, ReembedError } from '@reembed/shared'
import { createShardLoader } from '@reembed/sinks'
import { openStore } from '@reembed/store'
import { type Logger, openLog } from '@reembed/telemetry'
import { startWorker } from '@reembed/worker'
import { onInterrupt } from '../interrupt.ts'
import { openMetrics } from '../metrics.ts'
import { openQueueAtStart, requireEndpoint, requireRedis, s3OptionsOf } from '../open-resources.ts'
import type { EndpointFlags, MetricsFlags, RedisFlags, S3Flags, WorkerFlags } from '../options.ts'
import { withLoggedWaits } from '../waits.ts'

interface Flags extends EndpointFlags, MetricsFlags, RedisFlags, WorkerFlags, S3Flags {
  readonly output: readonly string[]
  readonly sources?: readonly string[]
  readonly sinks?: readonly string[]
  readonly drainSeconds: number
  readonly giveUpMinutes: number
  readonly unsafeStore?: boolean
}

const SWEEP_MS = 30_000
/**
 * Interval of sweeps while another process finalizes a run. Short, because that process may die
 * before it has finished.
 */
const SOON_MS = 6_000
const GIVE_UP_MS = 10_000
/** Time for an aborted sweep to log its end. */
const LEAVE_MS = 1_000
/**
 * Several workers become idle at the same moment; one sweep is enough, so each waits a random time.
 */
const IDLE_SWEEP_MS = 500

/**
 * `reembed worker`: writes shards until SIGTERM, and sweeps its outputs, so that runs finish
 * without a producer.
 */
export async function worker(flags: Flags): Promise<void> {
  const endpoint = await requireEndpoint(flags)
  const redis = requireRedis(flags)
  const log = openLog({ level: process.env.REEMBED_LOG ?? 'info' })
  await withLoggedWaits(log, () => work(flags, { redis, endpoint, log }))
}

interface Parts {
  readonly redis: RedisTarget
  readonly endpoint: ResolvedEndpoint
  readonly log: Logger
}

async function work(flags: Flags, { redis, endpoint: { url, options }, log }: Parts): Promise<void> {
  const outputs = flags.output.map(url => absoluteUrl(url))
  await using stack = new AsyncDisposableStack()
  const graceMs = 1000 * flags.drainSeconds
  const { signal } = stack.adopt(onInterrupt(graceMs), ({ stop }) => stop())
  // Without --metrics the worker counts nothing.
  const metrics = flags.metrics === undefined ? undefined : openMetrics(flags.metrics, flags, stack, log)
  const queue = stack.use(await openQueueAtStart(redis, log, signal))
  let idle = Promise.withResolvers<void>()
  const stuck = Promise.withResolvers<never>()
  stuck.promise.catch(() => {})
  const running = await startWorker({
    redis,
    endpoint: url,
    endpointOptions: options,
    outputs,
    sources: flags.sources,
    loader: flags.sinks?.length ? createShardLoader(flags.sinks) : undefined,
    concurrency: flags.concurrency,
    s3: s3OptionsOf(flags),
    unsafeStore: flags.unsafeStore,
    log,
    signal,
    metrics: metrics?.registry,
    onIdle: () => idle.resolve(),
    onStuck: waiting => stuck.reject(stuckError(waiting, flags.redis ?? '')),
    onGiveUp: stuck.reject,
    giveUpMs: 60_000 * flags.giveUpMinutes,
  })
  stack.adopt(running, () => running.drain(graceMs))
  await metrics?.serve(() => running.notReadyReason)

  const drained = Promise.withResolvers<void>()
  const late = new AbortController()
  // Without an interrupt, the sweeps end with the error of the worker.
  stuck.promise.catch(() => late.abort())
  const ending = AbortSignal.any([signal, late.signal])
  const sweeps = sweepOutputs({
    outputs: () => new Set([...outputs, ...running.seenOutputs]),
    open: output => openStore(output, { create: true, unsafe: flags.unsafeStore, s3: s3OptionsOf(flags) }),
    queue,
    log,
    metrics: metrics?.registry,
    signal: late.signal,
    async pause(soon) {
      const idled = idle.promise.then(() =>
        wait(IDLE_SWEEP_MS * (1 + 3 * Math.random()), undefined, { signal: ending }),
      )
      const due = wait((soon ? SOON_MS : SWEEP_MS) * (0.5 + Math.random()), undefined, { signal: ending })
      await Promise.race([due, idled]).catch(() => {})
      idle = Promise.withResolvers()
      if (!ending.aborted) return true
      if (late.signal.aborted) return false
      await drained.promise
      // The worker that takes a remaining job sweeps later. With an empty queue no other worker
      // may ever sweep, so this one sweeps once more.
      const { waiting, active, delayed } = await queue.counts()
      if (waiting + active + delayed > 0) late.abort()
      return false
    },
  })
  if (!signal.aborted) await Promise.race([once(signal, 'abort'), stuck.promise])

  // A sweep has as much time as jobs in flight: it may be finalizing a run.
  const over = once(AbortSignal.timeout(graceMs), 'abort').then(() => {
    late.abort()
    return wait(LEAVE_MS, undefined, { ref: false })
  })
  await running.drain(graceMs)
  drained.resolve()
  await Promise.race([sweeps, over])
  // After a failure, the last line is its message.
  log.info({ reason: messageOf(signal.reason) }, 'worker stopped')
}

/** Closing a dead connection can hang. The exit lets the supervisor start a new process. */
function stuckError(waiting: number, redis: string): ReembedError {
  setTimeout(() => process.exit(EXIT.unreachable), GIVE_UP_MS).unref()
  return new ReembedError(
    'REDIS_UNREACHABLE',
    `${counted(waiting, 'job')} wait in ${redisAddress(redis)}, but this worker has fetched none for a minute: it exits; restart it`,
  )
}
