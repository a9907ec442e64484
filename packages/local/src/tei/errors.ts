// The two kinds of error replies of TEI: its own, in JSON, and those of its web framework (axum
// 0.7), in plain text. A client must handle both, so this server sends both.

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

/** The label of `te_request_failure`. */
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

/** A request that the web framework refuses before the handlers of TEI. */
export class HttpRejection extends Error {
  readonly status: number

  constructor(status: number, text: string) {
    super(text)
    this.name = 'HttpRejection'
    this.status = status
  }
}

/** An input that the tokenizer refuses (`TextEmbeddingsError` in core/src/lib.rs). */
export const invalidInput = (message: string): TeiError =>
  new TeiError('Validation', `Input validation error: ${message}`, 'tokenization')

export const emptyInput = (): TeiError =>
  new TeiError('Empty', 'Input validation error: `inputs` cannot be empty', 'tokenization')
