import { once } from 'node:events'
import { pollRunMetrics, registerQueueMetrics } from '@reembed/producer'
import { openQueueReader, type RedisTarget } from '@reembed/queue'
import { type Logger, openLog } from '@reembed/telemetry'
import { explain } from '../explain.ts'
import { onInterrupt } from '../interrupt.ts'
import { openMetrics } from '../metrics.ts'
import { openOutputs, requireRedis } from '../open-resources.ts'
import type { MetricsFlags, RedisFlags, S3Flags } from '../options.ts'
import { servePages } from '../page-commands.ts'
import { withLoggedWaits } from '../waits.ts'

interface Flags extends MetricsFlags, RedisFlags, S3Flags {
  readonly output?: readonly string[]
}

const DEFAULT_PORT = '9465'

/**
 * `reembed exporter`: exposes queue, worker and run gauges for Prometheus, also without any worker.
 */
export async function exporter(flags: Flags, self: Parameters<typeof servePages>[3]): Promise<void> {
  const redis = requireRedis(flags)
  const log = openLog({ level: process.env.REEMBED_LOG ?? 'info' })
  await withLoggedWaits(log, () => expose(flags, redis, log, self))
}

async function expose(
  flags: Flags,
  redis: RedisTarget,
  log: Logger,
  self: Parameters<typeof servePages>[3],
): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const { signal } = stack.adopt(onInterrupt(), ({ stop }) => stop())
  const { registry, serve } = openMetrics(flags.metrics ?? DEFAULT_PORT, flags, stack, log)
  const watch = stack.use(openQueueReader(redis))
  const queue = registerQueueMetrics(registry, watch)
  const stores = await openOutputs(flags, stack, true)
  // Ends with the signal; a Redis or store that does not answer must not delay the exit.
  void pollRunMetrics(registry, stores, watch, { log, signal })
  // Readiness does not depend on a scrape: an installation waits for it before Prometheus finds it.
  await serve(() => queue.read())
  const listen = process.env.REEMBED_CONSOLE
  if (listen)
    await servePages(listen, { stores, redis }, stack, self).then(
      url => log.info({ url }, 'pages served'),
      (error: unknown) => log.error({}, `no pages: ${explain(error)}`),
    )
  if (!signal.aborted) await once(signal, 'abort')
}
