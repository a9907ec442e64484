import type { Failure } from './outcome.ts'

/** Whether the endpoint is overloaded or unavailable: the limiter backs off. */
export const isOverload = ({ kind }: Failure): boolean =>
  kind === 'overload' ||
  kind === 'cold_start' ||
  kind === 'gateway' ||
  kind === 'down' ||
  kind === 'reset' ||
  kind === 'timeout'

/**
 * Whether the server refused what was sent: a smaller request, or one in another form, may be
 * accepted. llama.cpp answers 500 to a text over its limit.
 */
export const isRefusal = ({ kind, status }: Failure): boolean =>
  kind === 'batch_limit' ||
  kind === 'too_large' ||
  kind === 'too_long' ||
  kind === 'bad_input' ||
  kind === 'unsupported' ||
  (kind === 'gateway' && status === 500)

/**
 * Whether the failure means that the endpoint is unavailable. While no request is answered, one
 * worker probes the endpoint and the others wait. Refused access is not: the token or the
 * certificate of one worker can be wrong while others are answered.
 */
export const isUnavailable = ({ kind, status }: Failure): boolean =>
  kind === 'cold_start' ||
  kind === 'down' ||
  kind === 'reset' ||
  kind === 'paused' ||
  (kind === 'gateway' && status !== 504)

/** The reason of an unavailable endpoint, for the status line. */
export const unavailableReason = ({ kind, message }: Failure): string =>
  kind === 'cold_start' ? 'warming' : message
