// What one request to an endpoint can come to. Everything an endpoint, a proxy or the network can do is a value
// here; who sends requests decides per kind (retry, split, reject, stop). `toError` is for those who cannot.

import { type ErrorCode, ReembedError, type Retry } from '@reembed/shared'

export type Outcome = Answered | Failure

/** The reply is complete and belongs to this model; each row not in `badRows` holds a checked vector. */
export interface Answered {
  readonly kind: 'ok'
  /** Tokens counted by the server, or null where it does not say. */
  readonly tokens: number | null
  /** Mean time of the request's inputs in the server's queue, and in the model. Null where it does not say. */
  readonly queueMs: number | null
  readonly inferenceMs: number | null
  /** From sending to the last byte, as seen here. */
  readonly totalMs: number
  /** Indexes into the request's texts whose vector is null, NaN, infinite, zero or of another norm. */
  readonly badRows: readonly number[]
  /** Which replica answered, where replicas are addressed one by one. */
  readonly replica?: string
}

export type Failure =
  /** 429: not enough permits, nothing was computed. */
  | Fault<'overload'>
  /** 503: scaling from zero, rolling update, or a proxy without a healthy replica. */
  | Fault<'cold_start'>
  /** 500, 502, 504, 520 and the like, and HTML where JSON belongs. */
  | Fault<'gateway'>
  /** No connection: refused, unknown host, TLS. */
  | Fault<'down'>
  /** The connection ended before the reply did. */
  | Fault<'reset'>
  /** No complete reply in time. */
  | Fault<'timeout'>
  /** 424: the model or its GPU failed; every input that shared the GPU batch fails, other clients' too. */
  | Fault<'backend'>
  /** A 200 that does not hold what was asked for. */
  | Fault<'corrupt'>
  /** More inputs than the server takes in one request. */
  | (Fault<'batch_limit'> & { readonly limit: number })
  /** More bytes than the server takes in one request. */
  | Fault<'too_large'>
  /** A text is over the model's limit and the server was told not to cut it. */
  | Fault<'too_long'>
  /** The server refuses one of the texts; it never says which. */
  | Fault<'bad_input'>
  | Fault<'access_denied'>
  | Fault<'paused'>
  | Fault<'route_missing'>
  | Fault<'redirect'>
  /** The reply names another model than the endpoint had when it was opened. */
  | Fault<'wrong_model'>
  | Fault<'unsupported'>

interface Fault<Kind extends string> {
  readonly kind: Kind
  /** One line, at most 200 characters of the server's own words, never a text or a secret. */
  readonly message: string
  readonly status?: number
  /** How long the other side asked to wait (`Retry-After`). */
  readonly afterMs?: number
}

const ERRORS: Record<Failure['kind'], readonly [ErrorCode, Retry]> = {
  overload: ['ENDPOINT_OVERLOADED', 'requeue'],
  cold_start: ['ENDPOINT_UNREACHABLE', 'requeue'],
  gateway: ['ENDPOINT_UNREACHABLE', 'requeue'],
  down: ['ENDPOINT_UNREACHABLE', 'requeue'],
  reset: ['ENDPOINT_UNREACHABLE', 'requeue'],
  timeout: ['ENDPOINT_OVERLOADED', 'requeue'],
  backend: ['ENDPOINT_UNREACHABLE', 'requeue'],
  corrupt: ['REPLY_INVALID', 'retry'],
  batch_limit: ['ENDPOINT_UNSUPPORTED', 'never'],
  too_large: ['ENDPOINT_UNSUPPORTED', 'never'],
  too_long: ['ENDPOINT_UNSUPPORTED', 'never'],
  bad_input: ['ENDPOINT_UNSUPPORTED', 'never'],
  access_denied: ['ENDPOINT_ACCESS_DENIED', 'requeue'],
  paused: ['ENDPOINT_ACCESS_DENIED', 'requeue'],
  route_missing: ['ENDPOINT_UNSUPPORTED', 'never'],
  redirect: ['ENDPOINT_UNSUPPORTED', 'never'],
  wrong_model: ['MODEL_MISMATCH', 'requeue'],
  unsupported: ['ENDPOINT_UNSUPPORTED', 'never'],
}

/** How long a run waits for its model before it looks again. */
export const MODEL_RECHECK_MS = 30_000
/** How long jobs wait where only a person can mend the endpoint. */
const ACCESS_RECHECK_MS = 30_000

/** The error for a failure that nothing more can be done about here. `url` must be free of secrets. */
export function toError(failure: Failure, url: string): ReembedError {
  const [code, retry] = ERRORS[failure.kind]
  const retryAfterMs =
    failure.afterMs ??
    (code === 'MODEL_MISMATCH'
      ? MODEL_RECHECK_MS
      : code === 'ENDPOINT_ACCESS_DENIED'
        ? ACCESS_RECHECK_MS
        : undefined)
  return new ReembedError(code, `endpoint ${url}: ${failure.message}`, {
    retry,
    retryAfterMs,
    cause: failure,
  })
}

/** The failure that `toError` made this error of; errors that come from elsewhere have none. */
export const failureBehind = (error: unknown): Failure | undefined =>
  error instanceof ReembedError && isFailure(error.cause) ? error.cause : undefined

const isFailure = (cause: unknown): cause is Failure =>
  cause instanceof Object &&
  'kind' in cause &&
  typeof cause.kind === 'string' &&
  Object.hasOwn(ERRORS, cause.kind)
