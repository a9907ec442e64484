// What a trace is made of.

export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>

export interface SpanOptions {
  readonly kind: 'producer' | 'consumer' | 'client'
  readonly attributes: Attributes
  /** What a span of another process gave as its `context`. Else the active span is the parent, if there is one. */
  readonly remoteParent?: string | undefined
}

export interface TraceSpan {
  /** For the next process or server: names and values of the W3C headers. */
  readonly headers: Readonly<Record<string, string>>
  set(attributes: Attributes): void
  /** `type` is one of a fixed list of words; `message` holds no text and no secret. */
  fail(type: string, message: string): void
  end(): void
}

export interface Tracer {
  start(name: string, options: SpanOptions): TraceSpan
  /** Runs `run` with `span` as the active one, through all it awaits; ends it, failed if `run` throws. */
  within<T>(span: TraceSpan, run: () => Promise<T>): Promise<T>
  /** Adds to the active span. */
  annotate(attributes: Attributes): void
}

/** The variables that say whether and where to; see opentelemetry.io/docs/specs/otel/configuration. */
export type Environment = Readonly<Record<string, string | undefined>>

export interface TracingOptions {
  readonly version: string
  /** Told once, when spans can't be sent. */
  readonly onError: (message: string) => void
}

export type OtlpProtocol = 'http/protobuf' | 'http/json'
