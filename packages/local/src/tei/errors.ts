// The two kinds of refusal that TEI knows: its own errors, in JSON, and those of its web framework (axum 0.7), in
// plain text. A client has to tell them apart, so the stand-in does too.

import type { TeiVersion } from './flags.ts'

export type ErrorType = 'Unhealthy' | 'Backend' | 'Overloaded' | 'Validation' | 'Tokenizer' | 'Empty'

const STATUS_OF: Record<ErrorType, number> = {
  Unhealthy: 503,
  Backend: 424,
  Overloaded: 429,
  Validation: 422,
  Tokenizer: 422,
  Empty: 400,
}

/** router/src/http/server.rs, `From<&ErrorType> for StatusCode`. */
export const statusOf = (type: ErrorType, version: TeiVersion): number =>
  type === 'Validation' && version === '1.8.3' ? 413 : STATUS_OF[type]

/** How `te_request_failure` counts it. */
export type FailureKind = 'overloaded' | 'batch_size' | 'validation' | 'tokenization' | 'inference'

export class TeiError extends Error {
  readonly type: ErrorType
  readonly kind: FailureKind

  constructor(type: ErrorType, message: string, kind: FailureKind, options?: ErrorOptions) {
    super(message, options)
    this.name = 'TeiError'
    this.type = type
    this.kind = kind
  }
}

/** Refused before TEI's own code sees the request. */
export class HttpRejection extends Error {
  readonly status: number

  constructor(status: number, text: string) {
    super(text)
    this.name = 'HttpRejection'
    this.status = status
  }
}

/** What the tokeniser finds wrong with an input (`TextEmbeddingsError` in core/src/lib.rs). */
export const invalidInput = (message: string): TeiError =>
  new TeiError('Validation', `Input validation error: ${message}`, 'tokenization')

export const emptyInput = (): TeiError =>
  new TeiError('Empty', 'Input validation error: `inputs` cannot be empty', 'tokenization')
