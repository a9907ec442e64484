// The tracer on top of the OpenTelemetry SDK. It does not register with OpenTelemetry's globals, so
// other libraries in the process are not traced. AsyncLocalStorage carries the active span.

import { AsyncLocalStorage } from 'node:async_hooks'
import { hostname } from 'node:os'
import {
  type Context,
  type Span as OtelSpan,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { setGlobalErrorHandler, W3CTraceContextPropagator } from '@opentelemetry/core'
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { codeOf, messageOf, ReembedError } from '@reembed/shared'
import { samplerOf } from './sampler.ts'
import type { Attributes, Environment, OtlpProtocol, Tracer, TraceSpan, TracingOptions } from './types.ts'

const KINDS = { producer: SpanKind.PRODUCER, consumer: SpanKind.CONSUMER, client: SpanKind.CLIENT }
/** Maximum wait for the last spans to be sent when the tracer closes. */
const FLUSH_MS = 3_000
/**
 * An enqueue ends one span for each of 1,000 jobs at once. The SDK's default of 2,048 would drop
 * spans.
 */
const QUEUED_SPANS = 8_192

const propagator = new W3CTraceContextPropagator()
const carrier = {
  get: (headers: Record<string, string>, name: string) => headers[name],
  set: (headers: Record<string, string>, name: string, value: string) => {
    headers[name] = value
  },
  keys: (headers: Record<string, string>) => Object.keys(headers),
}

/**
 * Opens a tracer that exports by OTLP over HTTP. The exporter itself reads URL, headers, timeouts
 * and certificates from the environment.
 */
export function openTracer(
  env: Environment,
  wire: OtlpProtocol,
  { version, onError }: TracingOptions,
): { tracer: Tracer; close(): Promise<void> } {
  let reported = false
  setGlobalErrorHandler(error => {
    if (!reported) onError(`cannot export spans: ${codeOf(error) ?? messageOf(error).slice(0, 200)}`)
    reported = true
  })
  const provider = new TracerProvider({
    resource: defaultResource()
      .merge(
        resourceFromAttributes({
          'service.name': 'reembed',
          'service.version': version,
          'service.instance.id': `${hostname()}-${process.pid}`,
        }),
      )
      .merge(detectResources({ detectors: [envDetector] })),
    sampler: samplerOf(env),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: wire === 'http/json' ? new JsonExporter() : new ProtobufExporter(),
        maxQueueSize: number(env.OTEL_BSP_MAX_QUEUE_SIZE) ?? QUEUED_SPANS,
        maxExportBatchSize: number(env.OTEL_BSP_MAX_EXPORT_BATCH_SIZE) ?? 512,
        scheduledDelayMillis: number(env.OTEL_BSP_SCHEDULE_DELAY) ?? 5_000,
      }),
    ],
  })
  return {
    tracer: createTracer(provider, version),
    async close() {
      const late = new Promise<'late'>(resolve => setTimeout(resolve, FLUSH_MS, 'late').unref())
      if ((await Promise.race([provider.shutdown().catch(() => {}), late])) === 'late')
        onError(`cannot export the last spans: no reply within ${FLUSH_MS / 1000} s`)
    },
  }
}

function createTracer(provider: TracerProvider, version: string): Tracer {
  const otel = provider.getTracer('reembed', version)
  const active = new AsyncLocalStorage<SentSpan>()

  function parentOf(from: string | undefined): Context {
    if (from !== undefined) return propagator.extract(ROOT_CONTEXT, parseHeaders(from), carrier)
    return active.getStore()?.context ?? ROOT_CONTEXT
  }

  return {
    start: (name, { kind, attributes, remoteParent }) =>
      new SentSpan(otel.startSpan(name, { kind: KINDS[kind], attributes }, parentOf(remoteParent))),
    within: (span, run) =>
      active.run(span as SentSpan, async () => {
        try {
          return await run()
        } catch (error) {
          span.fail(error instanceof ReembedError ? error.code : 'INTERNAL', messageOf(error))
          throw error
        } finally {
          span.end()
        }
      }),
    annotate: attributes => active.getStore()?.set(attributes),
  }
}

class SentSpan implements TraceSpan {
  readonly #span: OtelSpan
  readonly context: Context

  constructor(span: OtelSpan) {
    this.#span = span
    this.context = trace.setSpan(ROOT_CONTEXT, span)
  }

  get headers(): Record<string, string> {
    const headers: Record<string, string> = {}
    propagator.inject(this.context, headers, carrier)
    return headers
  }

  set(attributes: Attributes): void {
    this.#span.setAttributes(attributes)
  }

  fail(type: string, message: string): void {
    this.#span.setAttribute('error.type', type).setStatus({ code: SpanStatusCode.ERROR, message })
  }

  end(): void {
    this.#span.end()
  }
}

/** Parses a context from Redis, which is untrusted. An invalid context starts a new trace. */
function parseHeaders(from: string): Record<string, string> {
  try {
    const headers: unknown = JSON.parse(from)
    return typeof headers === 'object' && headers !== null ? (headers as Record<string, string>) : {}
  } catch {
    return {}
  }
}

const number = (value: string | undefined): number | undefined =>
  value !== undefined && /^[1-9]\d*$/.test(value) ? Number(value) : undefined
