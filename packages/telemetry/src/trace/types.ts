// Types of tracing.

export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>

export interface SpanOptions {
  readonly kind: 'producer' | 'consumer' | 'client'
  readonly attributes: Attributes
  /**
   * JSON of the `headers` of a parent span in another process. The default parent is the active
   * span, if any.
   */
  readonly remoteParent?: string | undefined
}

/** A span: one timed operation of a trace. */
export interface TraceSpan {
  /** The W3C Trace Context headers, for the next process or server. */
  readonly headers: Readonly<Record<string, string>>
  set(attributes: Attributes): void
  /**
   * Marks the span as failed. `type` comes from a fixed list; `message` has no document text and no
   * secret.
   */
  fail(type: string, message: string): void
  end(): void
}

/** Starts spans and tracks the active one. */
export interface Tracer {
  start(name: string, options: SpanOptions): TraceSpan
  /**
   * Calls `run` with `span` as the active span, across awaits, then ends `span`; marks it failed if
   * `run` throws.
   */
  within<T>(span: TraceSpan, run: () => Promise<T>): Promise<T>
  /** Adds attributes to the active span. */
  annotate(attributes: Attributes): void
}

/** Environment variables; see opentelemetry.io/docs/specs/otel/configuration. */
export type Environment = Readonly<Record<string, string | undefined>>

export interface TracingOptions {
  readonly version: string
  /** Called when spans cannot be exported: once for exports, once at the end. */
  readonly onError: (message: string) => void
}

export type OtlpProtocol = 'http/protobuf' | 'http/json'
