import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import { createSweeper } from '@reembed/producer'
import { type Logger, messageOf, openLog, openQueue, openStore, type Queue } from '@reembed/shared'
import { startWorker } from '@reembed/worker'
import { onInterrupt } from '../interrupt.ts'
import type { EndpointFlags, RedisFlags, S3Flags, WorkerFlags } from '../options.ts'
import { absolute, requireEndpoint, requireRedis, s3OptionsOf } from '../parts.ts'

interface Flags extends EndpointFlags, RedisFlags, WorkerFlags, S3Flags {
  readonly output: readonly string[]
  readonly drainSeconds: number
}

const SWEEP_MS = 30_000
/** Several workers run idle at the same moment; one sweep of one of them is enough. */
const IDLE_SWEEP_MS = 500

/** `reembed worker`: makes shards until SIGTERM, and sweeps its outputs so that runs end without a producer. */
export async function worker(flags: Flags): Promise<void> {
  const { url, options } = requireEndpoint(flags)
  const redis = requireRedis(flags)
  const log = openLog({ level: process.env.REEMBED_LOG ?? 'info' })
  const outputs = flags.output.map(absolute)
  await using stack = new AsyncDisposableStack()
  const { signal } = stack.adopt(onInterrupt(), ({ stop }) => stop())
  const queue = stack.use(await openQueue(redis, { signal }))
  let idle = Promise.withResolvers<void>()
  const running = await startWorker({
    redis,
    endpoint: url,
    endpointOptions: options,
    outputs,
    concurrency: flags.concurrency,
    s3: s3OptionsOf(flags),
    log,
    onIdle: () => idle.resolve(),
  })
  stack.adopt(running, () => running.drain(1000 * flags.drainSeconds))

  const sweeps = sweepFor(outputs, { flags, queue, log, signal }, async () => {
    await Promise.race([
      wait(SWEEP_MS * (0.5 + Math.random()), undefined, { signal }),
      idle.promise.then(() => wait(IDLE_SWEEP_MS * (1 + 3 * Math.random()), undefined, { signal })),
    ])
    idle = Promise.withResolvers()
  })
  if (!signal.aborted) await once(signal, 'abort')
  await sweeps
}

interface SweepContext {
  readonly flags: Flags
  readonly queue: Queue
  readonly log: Logger
  readonly signal: AbortSignal
}

/** Sweeps each output, waits, and again, until the signal fires. A sweep that fails is logged, the next one tries again. */
async function sweepFor(
  outputs: readonly string[],
  { flags, queue, log, signal }: SweepContext,
  pause: () => Promise<void>,
): Promise<void> {
  const sweepers = outputs.map(async output =>
    createSweeper(await openStore(output, { s3: s3OptionsOf(flags) }), queue),
  )
  while (!signal.aborted) {
    await pause().catch(() => {})
    if (signal.aborted) return
    for (const sweeper of sweepers) {
      try {
        for (const outcome of await (await sweeper).sweep(signal)) {
          if (outcome.status === 'broken')
            log.error({ run: outcome.run }, `run cannot be finished: ${messageOf(outcome.error)}`)
          else if (outcome.status === 'finished')
            log.info({ run: outcome.run, publish: outcome.publish.status }, 'run finished')
          else if (outcome.added > 0)
            log.info({ run: outcome.run, missing: outcome.missing }, 'missing shards queued again')
        }
      } catch (error) {
        if (!signal.aborted) log.warn(`sweep failed: ${messageOf(error)}`)
      }
    }
  }
}
