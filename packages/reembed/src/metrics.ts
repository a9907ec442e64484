// /metrics, /live and /ready of this process, if --metrics asks for them.

import { createRegistry, type Logger, observeProcess, type Registry, serveMetrics } from '@reembed/telemetry'
import type { MetricsFlags } from './options.ts'
import { VERSION } from './version.ts'

export interface Metrics {
  readonly registry: Registry
  /** Starts to answer; the stack ends it. */
  serve(unready: () => string | null): Promise<void>
}

export function openMetrics(
  listen: string,
  { metricsOpen: open }: MetricsFlags,
  stack: AsyncDisposableStack,
  log: Logger,
): Metrics {
  const registry = createRegistry()
  observeProcess(registry, VERSION)
  return {
    registry,
    async serve(unready) {
      const token = process.env.REEMBED_METRICS_TOKEN || undefined
      const { url } = stack.use(await serveMetrics({ registry, listen, token, open, unready }))
      log.info({ url }, 'metrics served')
    },
  }
}
