import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { sweepOutputs } from '@reembed/producer'
import { openQueue, redisAddress } from '@reembed/queue'
import { EXIT, ReembedError } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { openLog } from '@reembed/telemetry'
import { startWorker } from '@reembed/worker'
import { onInterrupt } from '../interrupt.ts'
import { openMetrics } from '../metrics.ts'
import { absoluteUrl, requireEndpoint, requireRedis, s3OptionsOf } from '../open-resources.ts'
import type { EndpointFlags, MetricsFlags, RedisFlags, S3Flags, WorkerFlags } from '../options.ts'

interface Flags extends EndpointFlags, MetricsFlags, RedisFlags, WorkerFlags, S3Flags {
  readonly output: readonly string[]
  readonly drainSeconds: number
  readonly unsafeStore?: boolean
}

const SWEEP_MS = 30_000
/** While another process ends a run: it may be gone before it is through. */
const SOON_MS = 6_000
const GIVE_UP_MS = 10_000
/** For a sweep that is cut off to say so. */
const LEAVE_MS = 1_000
/** Several workers run idle at the same moment; one sweep of one of them is enough. */
const IDLE_SWEEP_MS = 500

/**
 * V8 lets garbage grow to several times what is in use; a pod's memory limit is better spent on
 * shards.
 */
const HEAP_GROWTH_PERCENT = 20

/**
 * `reembed worker`: makes shards until SIGTERM, and sweeps its outputs so that runs end without a
 * producer.
 */
export async function worker(flags: Flags): Promise<void> {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`)
  const { url, options } = await requireEndpoint(flags)
  const redis = requireRedis(flags)
  const log = openLog({ level: process.env.REEMBED_LOG ?? 'info' })
  const outputs = flags.output.map(absoluteUrl)
  await using stack = new AsyncDisposableStack()
  const { signal } = stack.adopt(onInterrupt(), ({ stop }) => stop())
  // Without --metrics nothing is counted.
  const metrics = flags.metrics === undefined ? undefined : openMetrics(flags.metrics, flags, stack, log)
  const queue = stack.use(await openQueue(redis, { signal }))
  let idle = Promise.withResolvers<void>()
  const stuck = Promise.withResolvers<never>()
  stuck.promise.catch(() => {})
  const running = await startWorker({
    redis,
    endpoint: url,
    endpointOptions: options,
    outputs,
    concurrency: flags.concurrency,
    s3: s3OptionsOf(flags),
    unsafeStore: flags.unsafeStore,
    log,
    metrics: metrics?.registry,
    onIdle: () => idle.resolve(),
    onStuck: waiting => stuck.reject(stuckError(waiting, flags.redis ?? '')),
  })
  stack.adopt(running, () => running.drain(1000 * flags.drainSeconds))
  await metrics?.serve(() => running.notReadyReason)

  const drained = Promise.withResolvers<void>()
  const late = new AbortController()
  const sweeps = sweepOutputs({
    outputs: () => new Set([...outputs, ...running.seenOutputs]),
    open: output => openStore(output, { create: true, unsafe: flags.unsafeStore, s3: s3OptionsOf(flags) }),
    queue,
    log,
    metrics: metrics?.registry,
    signal: late.signal,
    async pause(soon) {
      const idled = idle.promise.then(() =>
        wait(IDLE_SWEEP_MS * (1 + 3 * Math.random()), undefined, { signal }),
      )
      const due = wait((soon ? SOON_MS : SWEEP_MS) * (0.5 + Math.random()), undefined, { signal })
      await Promise.race([due, idled]).catch(() => drained.promise)
      idle = Promise.withResolvers()
      if (!signal.aborted) return true
      await drained.promise
      // Whoever takes what is left on the queue looks again. Where nothing is left nobody may come:
      // one last look.
      const { waiting, active, delayed } = await queue.counts()
      if (waiting + active + delayed > 0) late.abort()
      return false
    },
  })
  if (!signal.aborted) await Promise.race([once(signal, 'abort'), stuck.promise])

  // A sweep has the time that jobs under way have: it may be ending a run.
  const graceMs = 1000 * flags.drainSeconds
  const over = once(AbortSignal.timeout(graceMs), 'abort').then(() => {
    late.abort()
    return wait(LEAVE_MS, undefined, { ref: false })
  })
  await running.drain(graceMs)
  drained.resolve()
  await Promise.race([sweeps, over])
}

/** To close a dead connection may take for ever: what started this process starts a new one. */
function stuckError(waiting: number, redis: string): ReembedError {
  setTimeout(() => process.exit(EXIT.unreachable), GIVE_UP_MS).unref()
  return new ReembedError(
    'REDIS_UNREACHABLE',
    `${waiting} jobs wait at ${redisAddress(redis)} and this worker has fetched none for a minute: it ends, to be started again`,
  )
}
