// The outcome of one request to an endpoint. Each behaviour of an endpoint, a proxy or the network
// is a value; the sender decides by kind (retry, split, reject, stop). Callers without such a
// policy convert it by `toError`.

import { type ErrorCode, ReembedError, type Retry } from '@reembed/shared'

export type Outcome = Answered | Failure

/** A complete reply of the expected model; each row not in `badRows` holds a validated vector. */
export interface Answered {
  readonly kind: 'ok'
  /** Tokens counted by the server; null where it states none. */
  readonly tokens: number | null
  /** Tokens of each text before truncation; undefined where the server states none, as TEI. */
  readonly textTokens?: readonly number[] | undefined
  /** Characters of the canary that was sent with the texts, if one was. */
  readonly canaryCharacters?: number | undefined
  /**
   * Mean time of the request's inputs in the server's queue, and in the model; null where it states
   * none.
   */
  readonly queueMs: number | null
  readonly inferenceMs: number | null
  /** Time from sending the request to the last byte of the reply, measured by the client. */
  readonly totalMs: number
  /**
   * Indexes into the request's texts whose vector is null, NaN, infinite, zero or of another norm.
   */
  readonly badRows: readonly number[]
  /** The replica that answered, where replicas are addressed individually. */
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
  /**
   * 424: the model or its GPU failed. All inputs of the GPU batch fail, those of other clients
   * included.
   */
  | Fault<'backend'>
  /** A 200 whose body is not the requested vectors. */
  | Fault<'corrupt'>
  /** One vector for many texts that the model can tell apart. */
  | Fault<'collapsed'>
  /** More inputs than the server accepts in one request. */
  | (Fault<'batch_limit'> & { readonly limit: number })
  /** More bytes than the server accepts in one request. */
  | Fault<'too_large'>
  /**
   * A text exceeds the model's limit, and the request forbids truncation. `limit`: in tokens, where
   * the server states it.
   */
  | (Fault<'too_long'> & { readonly limit?: number })
  /** The server refuses one of the texts, without naming it. */
  | Fault<'bad_input'>
  | Fault<'access_denied'>
  | Fault<'paused'>
  | Fault<'route_missing'>
  | Fault<'redirect'>
  /** The reply comes from another model than the endpoint had when it was opened. */
  | Fault<'wrong_model'>
  | Fault<'unsupported'>

interface Fault<Kind extends string> {
  readonly kind: Kind
  /**
   * One line with at most 200 characters of the server's own message; never a document's text or a
   * secret.
   */
  readonly message: string
  readonly status?: number
  /** The server's `Retry-After`, in milliseconds. */
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
  collapsed: ['REPLY_INVALID', 'retry'],
  batch_limit: ['ENDPOINT_UNSUPPORTED', 'never'],
  too_large: ['ENDPOINT_UNSUPPORTED', 'never'],
  too_long: ['ENDPOINT_UNSUPPORTED', 'never'],
  bad_input: ['ENDPOINT_UNSUPPORTED', 'never'],
  access_denied: ['ENDPOINT_ACCESS_DENIED', 'requeue'],
  paused: ['ENDPOINT_UNREACHABLE', 'requeue'],
  route_missing: ['ENDPOINT_UNSUPPORTED', 'never'],
  redirect: ['ENDPOINT_UNSUPPORTED', 'never'],
  wrong_model: ['MODEL_MISMATCH', 'requeue'],
  unsupported: ['ENDPOINT_UNSUPPORTED', 'never'],
}

/** What an operator can do. None where the message states it, as that of a redirect does. */
const REMEDIES: Partial<Record<Failure['kind'], string>> = {
  overload: 'add replicas, or reduce the load of other clients',
  cold_start: 'wait until the model is loaded, or read the logs of the endpoint',
  gateway: 'read the logs of the endpoint and of the proxy in front of it',
  down: 'start the endpoint, or correct its address',
  reset: 'read the logs of the endpoint and of the proxy in front of it',
  timeout: 'add replicas, or allow more time for a request',
  backend: 'read the logs of the endpoint: its model or GPU fails',
  corrupt: 'check the model of the endpoint and the proxy in front of it',
  collapsed: 'check the model of the endpoint',
  batch_limit: 'check max_client_batch_size of the endpoint',
  too_large: 'raise the payload limit of the endpoint and of the proxy in front of it',
  too_long: 'allow truncation, or split the texts into chunks',
  bad_input: 'check that the endpoint serves an embedding model',
  paused: 'resume the endpoint',
  route_missing: 'correct the path of the URL',
  wrong_model: "deploy the run's model on all replicas",
  unsupported: 'check that the URL is that of a TEI or OpenAI-compatible server',
}

/** Delay before the model of an endpoint is checked again. */
export const MODEL_RECHECK_MS = 30_000
/** Delay of jobs where an operator must correct the endpoint. */
const RECHECK_MS: Partial<Record<Failure['kind'], number>> = {
  wrong_model: MODEL_RECHECK_MS,
  access_denied: 30_000,
  paused: 30_000,
}

/**
 * The error for a failure that the caller cannot handle: place, failure, how long it lasted, fix.
 * @param url without secrets
 * @param lastedMs how long the endpoint has failed in this way, where the caller waited
 */
export function toError(failure: Failure, url: string, lastedMs?: number): ReembedError {
  const [code, retry] = ERRORS[failure.kind]
  const retryAfterMs = failure.afterMs ?? RECHECK_MS[failure.kind]
  const lasted = lastedMs === undefined ? '' : ` (for ${lastedMs / 1000} s)`
  const remedy = REMEDIES[failure.kind]
  const message = `endpoint ${url}: ${failure.message}${lasted}${remedy === undefined ? '' : `; ${remedy}`}`
  return new ReembedError(code, message, {
    retry,
    retryAfterMs,
    cause: failure,
  })
}

/** The failure from which `toError` made this error; undefined for other errors. */
export const failureBehind = (error: unknown): Failure | undefined =>
  error instanceof ReembedError && isFailure(error.cause) ? error.cause : undefined

/** Whether the endpoint is starting, or scaling up from zero. */
export const isColdStart = (error: ReembedError): boolean =>
  failureBehind(error)?.kind === 'cold_start' || error.reason === 'cold_start'

const isFailure = (cause: unknown): cause is Failure =>
  cause instanceof Object &&
  'kind' in cause &&
  typeof cause.kind === 'string' &&
  Object.hasOwn(ERRORS, cause.kind)
