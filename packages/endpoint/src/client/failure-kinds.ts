// Which failures say that an endpoint is overloaded or unavailable.

import type { Failure } from './outcome.ts'

/** Failures that say the endpoint has too much to do, or is not there: the limiter backs off. */
export const isOverload = ({ kind }: Failure): boolean =>
  kind === 'overload' ||
  kind === 'cold_start' ||
  kind === 'gateway' ||
  kind === 'down' ||
  kind === 'reset' ||
  kind === 'timeout'

/** Failures that met no endpoint at all: when nobody is answered, one worker looks whether it is back. */
export const isUnavailable = ({ kind, status }: Failure): boolean =>
  kind === 'cold_start' ||
  kind === 'down' ||
  kind === 'reset' ||
  kind === 'paused' ||
  kind === 'access_denied' ||
  (kind === 'gateway' && status !== 504)

/** An absence in the words of a status line. */
export const unavailableReason = ({ kind, message }: Failure): string =>
  kind === 'cold_start' ? 'warming' : message
