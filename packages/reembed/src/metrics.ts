// Serves /metrics, /live and /ready of this process where --metrics is given.

import { createRegistry, type Logger, observeProcess, type Registry, serveMetrics } from '@reembed/telemetry'
import type { MetricsFlags } from './options.ts'
import { VERSION } from './version.ts'

export interface Metrics {
  readonly registry: Registry
  /** Starts the server; the stack stops it. */
  serve(notReadyReason: () => string | null | Promise<string | null>): Promise<void>
}

export function openMetrics(
  listen: string,
  { metricsOpen: allowUnauthenticated }: MetricsFlags,
  stack: AsyncDisposableStack,
  log: Logger,
): Metrics {
  const registry = createRegistry()
  observeProcess(registry, VERSION)
  return {
    registry,
    async serve(notReadyReason) {
      const token = process.env.REEMBED_METRICS_TOKEN || undefined
      const { url } = stack.use(
        await serveMetrics({ registry, listen, token, allowUnauthenticated, notReadyReason }),
      )
      log.info({ url }, 'metrics served')
    },
  }
}
