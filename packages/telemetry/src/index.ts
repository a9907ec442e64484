// The public API of @reembed/telemetry; every other file is private to the package.

export { type Logger, openLog } from './log.ts'
export { observeProcess } from './metrics/process.ts'
export {
  type Counter,
  createRegistry,
  type Gauge,
  type Histogram,
  type LabelBounds,
  type Labels,
  type MetricDescriptor,
  type Registry,
} from './metrics/registry.ts'
export { type MetricsServer, type MetricsServerOptions, serveMetrics } from './metrics/server.ts'
export { openTracing, tracing } from './trace/trace.ts'
export type { Attributes, Tracer, TraceSpan } from './trace/types.ts'
