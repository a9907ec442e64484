// GET requests to the Hugging Face Hub, for all that read from it: datasets, commits of models,
// files of models.
//
//   host       the option, else HF_ENDPOINT, else https://huggingface.co
//   token      is sent to that host alone, not to where its redirects lead (follow-redirects.ts)
//   transient  no reply, 408, 429 and 5xx are retried with a doubling wait
//   access     the Hub answers 401 for private repositories and for those that do not exist
//
// @huggingface/hub is no replacement: it has no timeouts and no retries, and checks neither status
// nor length of a range.

import { setTimeout as wait } from 'node:timers/promises'
import {
  codeOf,
  deadlines,
  type ErrorCode,
  isHuggingFaceHost,
  isLinkLocal,
  isLoopback,
  LIMITS,
  messageOf,
  openFilesReason,
  ReembedError,
  readBounded,
} from '@reembed/shared'
import { getFollowing } from './follow-redirects.ts'
import { plainKey } from './keys.ts'
import { createTimedRead, type ReadAttempt, type TimedRead } from './timed-read.ts'

export interface HubClientOptions {
  /** Base URL of the Hub or of a mirror. HF_ENDPOINT if not given, else https://huggingface.co. */
  readonly endpoint?: string | undefined
  /**
   * HF_TOKEN if not given, where `endpoint` is a host of Hugging Face or the one in HF_ENDPOINT.
   */
  readonly token?: string | undefined
  /** Further attempts after a transient failure. 0 if not given. */
  readonly retries?: number | undefined
  /** Wait before the second attempt; doubles with each further one. 500 if not given. */
  readonly retryMs?: number | undefined
  /** Error codes for a Hub that does not answer and for one that refuses access. */
  readonly codes: { readonly unreachable: ErrorCode; readonly accessDenied: ErrorCode }
  /** What the user can do without the Hub, as an imperative: 'give the folder of the model'. */
  readonly alternative?: string | undefined
}

export interface HubRequest {
  /** What is read, for messages: 'dataset org/name'. */
  readonly subject: string
  /** Value of the `range` header. */
  readonly range?: string | undefined
  /** The time of a read that takes several requests; one of its own if not given. */
  readonly read?: TimedRead | undefined
  readonly signal?: AbortSignal | undefined
}

/** A reply. The caller reads or cancels its body. */
export interface HubReply {
  readonly status: number
  readonly ok: boolean
  readonly headers: Headers
  /** The body, which must come within the time limits. */
  body(): AsyncGenerator<Uint8Array, void, undefined>
  cancel(): Promise<void>
}

export interface HubJson {
  readonly value: unknown
  readonly headers: Headers
}

export interface HubClient {
  /** Base URL without a slash at its end. Holds no secret. */
  readonly endpoint: string
  /** The time of one read, over several requests. */
  startRead(): TimedRead
  /**
   * Sends one GET and resolves with its reply: 2xx, 404 or 416. The caller reads or cancels the
   * body.
   * @param path begins with '/', percent-encoded
   * @throws ReembedError the code for `accessDenied` (401, 403) or `unreachable` (all else)
   */
  request(path: string, request: HubRequest): Promise<HubReply>
  /**
   * The body of a reply as text, at most 32 MiB; undefined for 404. @throws ReembedError as
   * `request`
   */
  text(path: string, request: HubRequest): Promise<string | undefined>
  /**
   * A reply whose body is JSON, at most 32 MiB; undefined for 404. @throws ReembedError as
   * `request`
   */
  json(path: string, request: HubRequest): Promise<HubJson | undefined>
  /** The error for a reply whose body broke off. */
  unreachable(subject: string, cause: unknown): ReembedError
}

const DEFAULT_ENDPOINT = 'https://huggingface.co'
const RETRY_MS = 500
/** Percent-encodes the parts of a path and keeps its slashes. */
export const escapeHubPath = (path: string): string => path.split('/').map(encodeURIComponent).join('/')

/**
 * Opens no connection. @throws ReembedError USAGE for a URL that is no Hub, or would expose the
 * token.
 */
export function createHubClient({
  endpoint: given = process.env.HF_ENDPOINT || DEFAULT_ENDPOINT,
  token: givenToken,
  retries = 0,
  retryMs = RETRY_MS,
  codes,
  alternative,
}: HubClientOptions): HubClient {
  const endpoint = given.replace(/\/+$/, '')
  const token = givenToken ?? (mayHaveEnvironmentToken(endpoint) ? process.env.HF_TOKEN : undefined)
  checkEndpoint(endpoint, token)
  const headers = { 'user-agent': 'reembed', ...(token && { authorization: `Bearer ${token}` }) }
  const otherwise = alternative === undefined ? '' : `, or ${alternative}`
  const limits = deadlines().hub
  const startRead = (): TimedRead => createTimedRead({ dependency: `the Hub at ${endpoint}`, ...limits })

  /** Calls `read` with the reply of the first attempt that has one, and repeats it if it fails. */
  async function exchange<T>(
    path: string,
    { subject, range, signal, read: timed = startRead() }: HubRequest,
    read: (reply: HubReply) => T | Promise<T>,
  ): Promise<T> {
    plainKey(path.split('?', 1)[0] ?? '', endpoint)
    const endMs = performance.now() + limits.callMs
    for (let tried = 0; ; tried++) {
      const attempt = timed.attempt(signal)
      let failure: ReembedError
      try {
        const response = await attempt.head(() =>
          getFollowing(endpoint + path, {
            headers: { ...headers, ...(range && { range }) },
            signal: attempt.signal,
            refused,
          }),
        )
        if (response.ok || response.status === 404 || response.status === 416)
          return await read(replyOf(response, attempt))
        await response.body?.cancel()
        failure = refusal(subject, response.status)
        if (!isTransient(response.status)) throw failure
      } catch (error) {
        attempt[Symbol.dispose]()
        if (error instanceof ReembedError || signal?.aborted) throw error
        failure = unreachable(subject, error)
      }
      attempt[Symbol.dispose]()
      const waitMs = retryMs * 2 ** tried
      if (tried >= retries || timed.isSpent || performance.now() + waitMs >= endMs) throw failure
      await wait(waitMs, undefined, { signal })
    }
  }

  /** The error for a redirect of the Hub that must not be followed. */
  const refused = (what: string): ReembedError =>
    new ReembedError(
      codes.accessDenied,
      `${what}: check HF_ENDPOINT, and whether a proxy answers instead${otherwise}`,
    )

  function refusal(subject: string, status: number): ReembedError {
    if (status === 401 || status === 403) {
      const remedy =
        status === 401
          ? 'check the name, and set HF_TOKEN to a token with access if it is private'
          : 'request access on its page, and set HF_TOKEN to a token with access'
      const message = `The Hub at ${endpoint} refuses access to ${subject} (HTTP ${status}): ${remedy}`
      return new ReembedError(codes.accessDenied, message + otherwise)
    }
    const remedy =
      status === 429
        ? 'wait a few minutes, or set HF_TOKEN for a higher rate limit'
        : status >= 500
          ? 'try again later, or set HF_ENDPOINT to a mirror'
          : 'check HF_ENDPOINT'
    const message = `The Hub at ${endpoint} answered HTTP ${status} for ${subject}: ${remedy}`
    return new ReembedError(codes.unreachable, message + otherwise, { retry: 'requeue' })
  }

  function unreachable(subject: string, error: unknown): ReembedError {
    const cause = error instanceof Error ? (error.cause ?? error) : error
    const openFiles = openFilesReason(error)
    if (openFiles)
      return new ReembedError(codes.accessDenied, `Cannot read ${subject} from the Hub: ${openFiles}`)
    const message = `Cannot read ${subject} from the Hub at ${endpoint} (${codeOf(cause) ?? messageOf(cause)})`
    return new ReembedError(
      codes.unreachable,
      `${message}: try again later, or set HF_ENDPOINT to a mirror${otherwise}`,
      { retry: 'requeue', cause: error },
    )
  }

  /** The body as text and the headers of a reply; undefined for 404. */
  const whole = (
    path: string,
    request: HubRequest,
  ): Promise<{ body: string; headers: Headers } | undefined> =>
    exchange(path, request, async response => {
      if (response.ok)
        return {
          body: (await readBounded(response.body(), LIMITS.hubReplyBytes)).toString(),
          headers: response.headers,
        }
      await response.cancel()
      return undefined
    })

  return {
    endpoint,
    startRead,
    request: (path, request) => exchange(path, request, reply => reply),
    text: async (path, request) => (await whole(path, request))?.body,
    async json(path, request) {
      const reply = await whole(path, request)
      try {
        return reply && { value: JSON.parse(reply.body), headers: reply.headers }
      } catch (cause) {
        throw new ReembedError(
          codes.unreachable,
          `The reply of the Hub at ${endpoint} for ${request.subject} is not JSON: check whether a proxy answers instead`,
          { retry: 'requeue', cause },
        )
      }
    },
    unreachable,
  }
}

const isTransient = (status: number): boolean => status === 408 || status === 429 || status >= 500

function mayHaveEnvironmentToken(endpoint: string): boolean {
  if (endpoint === process.env.HF_ENDPOINT?.replace(/\/+$/, '')) return true
  return URL.canParse(endpoint) && isHuggingFaceHost(new URL(endpoint).hostname)
}

function checkEndpoint(endpoint: string, token: string | undefined): void {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new ReembedError(
      'USAGE',
      'Expected the address of the Hub as http:// or https:// URL: check HF_ENDPOINT',
    )
  }
  const { origin, hostname, protocol, username, password, search } = url
  if (username !== '' || password !== '' || search !== '') {
    throw new ReembedError('USAGE', `The address of the Hub ${origin} must hold no password and no query`)
  }
  if (isLinkLocal(hostname)) {
    throw new ReembedError('USAGE', `${origin} is a link-local address, not a Hub: check HF_ENDPOINT`)
  }
  if (token && protocol === 'http:' && !isLoopback(hostname)) {
    throw new ReembedError(
      'USAGE',
      `The Hub's token would be sent to ${origin} unencrypted: use an https:// URL, or unset HF_TOKEN`,
    )
  }
}

function replyOf({ status, ok, headers, body }: Response, attempt: ReadAttempt): HubReply {
  return {
    status,
    ok,
    headers,
    async *body() {
      try {
        if (body !== null) yield* attempt.pieces(body)
      } finally {
        attempt[Symbol.dispose]()
      }
    },
    async cancel() {
      attempt[Symbol.dispose]()
      await body?.cancel()
    },
  }
}
