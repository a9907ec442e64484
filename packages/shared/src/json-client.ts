// JSON over HTTP to a vector store. Idempotent requests are repeated while the server is overloaded
// or does not answer. Proxies are those of Node's fetch.

import { deadlines, startWait } from './deadlines.ts'
import { codeOf, messageOf, openFilesReason, ReembedError } from './errors.ts'
import { LIMITS } from './limits.ts'
import { isLoopback } from './listen.ts'
import { type RetryOptions, withRetries } from './sink-retries.ts'
import { BodyTooLong, readBounded } from './streams.ts'

export interface HttpReply {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: each store checks the fields that it reads
  readonly body: any
}

export interface HttpRequest extends RetryOptions {
  /** A JSON value, or the text of a body with its content type. */
  readonly json?: unknown
  readonly text?: { readonly body: string; readonly type: string } | undefined
  /** Statuses besides 2xx that the caller handles. */
  readonly expect?: readonly number[] | undefined
  /** The request is not idempotent, so that it is not repeated. */
  readonly once?: true
  /** Parses the reply; default `JSON.parse`, which rounds integers beyond 2^53. */
  readonly parse?: ((text: string) => unknown) | undefined
}

export interface HttpClient {
  /** The URL without credentials. */
  readonly address: string
  /**
   * @throws ReembedError STORE_UNREACHABLE after the attempts of `withRetries`, or after the first
   *   one to a server that never answered, or of `once`, or with the reason REPLY_TOO_LONG;
   *   STORE_ACCESS_DENIED; USAGE for a request that the server refuses, or a reply that is not JSON
   */
  request(method: string, path: string, request?: HttpRequest): Promise<HttpReply>
}

/** The reason of the error for a reply over `LIMITS.sinkReplyBytes`. */
export const REPLY_TOO_LONG = 'reply_too_long'

const OVERLOADED: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504])

/**
 * The URL without user, password and parameters, and with the name of the store in front.
 * @throws ReembedError USAGE for a URL that is invalid
 */
export function httpAddress(url: string): string {
  const parsed = parsedUrl(url)
  parsed.username = ''
  parsed.password = ''
  parsed.search = ''
  return `${/^[a-z]+\+/.exec(url)?.[0] ?? ''}${parsed.href.replace(/\/$/, '')}`
}

function parsedUrl(url: string, option = 'target'): URL {
  const bare = url.replace(/^[a-z]+\+/, '')
  const parsed = URL.canParse(bare) ? new URL(bare) : undefined
  // A '/' of a password that is not encoded ends the host early: the path, which messages have,
  // then holds the rest of the password.
  if (parsed !== undefined && !parsed.pathname.includes('@')) return parsed
  throw new ReembedError(
    'USAGE',
    'the URL of the vector store is invalid: percent-encode special characters of user and password',
    { option },
  )
}

/**
 * Refuses to send a key over plain HTTP to another machine, unless the URL has `?insecure=true`.
 * @throws ReembedError USAGE
 */
export function requireEncrypted(url: string, option = 'target'): void {
  const { protocol, host, hostname, searchParams } = parsedUrl(url, option)
  if (protocol !== 'http:' || isLoopback(hostname) || searchParams.get('insecure') === 'true') return
  throw new ReembedError(
    'USAGE',
    `the key of the vector store would be sent to http://${host} unencrypted: use an https:// URL, or add ?insecure=true to it in a private network`,
    { option },
  )
}

/**
 * @param url with the name of the store in front: `qdrant+https://user:password@host:6333`
 * @param headers of each request, which hold the key
 * @param option the option that gave the URL, which errors name
 * @throws ReembedError USAGE for a URL that is invalid, and where a key would be sent to another
 * machine over plain HTTP
 */
export function createHttpClient(
  url: string,
  headers: Readonly<Record<string, string>>,
  option = 'target',
): HttpClient {
  const { username, password } = parsedUrl(url, option)
  const authorization =
    username === ''
      ? {}
      : {
          authorization: `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')}`,
        }
  if (username !== '' || Object.keys(headers).length > 0) requireEncrypted(url, option)
  const address = httpAddress(url)
  const base = address.replace(/^[a-z]+\+/, '')
  const { answerMs, replyMs } = deadlines().sink
  // A server that never answered is reported at once: its URL may be wrong.
  let hasAnswered = false
  const failed = (what: string, cause?: unknown, retryAfterMs?: number): ReembedError =>
    new ReembedError('STORE_UNREACHABLE', `${base} ${what}`, { retry: 'requeue', retryAfterMs, cause })

  async function attempt(
    method: string,
    path: string,
    { json, text, expect = [], parse = JSON.parse, signal }: HttpRequest,
  ): Promise<HttpReply> {
    const type = text?.type ?? (json === undefined ? undefined : 'application/json')
    const limit = AbortSignal.timeout(hasAnswered ? replyMs : answerMs)
    using wait = startWait(`the vector store at ${base}`)
    let response: Response
    let reply: string
    try {
      response = await fetch(`${base}${path}`, {
        method,
        headers: {
          accept: 'application/json',
          ...authorization,
          ...headers,
          ...(type && { 'content-type': type }),
        },
        body: text?.body ?? (json === undefined ? null : JSON.stringify(json)),
        redirect: 'error',
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      })
      reply = (await readBounded(response.body, LIMITS.sinkReplyBytes)).toString()
    } catch (cause) {
      signal?.throwIfAborted()
      const openFiles = openFilesReason(cause)
      if (openFiles) throw new ReembedError('STORE_ACCESS_DENIED', `cannot connect to ${base}: ${openFiles}`)
      wait.gaveUp()
      if (cause instanceof BodyTooLong) {
        throw new ReembedError(
          'STORE_UNREACHABLE',
          `${base} replies to ${method} ${path} with a body that is longer than ${LIMITS.sinkReplyBytes} bytes: correct the address, and check whether a proxy answers instead`,
          { option, reason: REPLY_TOO_LONG, cause },
        )
      }
      const seconds = (hasAnswered ? replyMs : answerMs) / 1_000
      const reason = limit.aborted ? `no complete reply within ${seconds} s` : causeOf(cause)
      throw failed(`does not answer (${reason}): start it, or correct its address`, cause)
    }
    wait.answered()
    const { status } = response
    if (OVERLOADED.has(status)) {
      const seconds = Number(response.headers.get('retry-after'))
      const waitMs = seconds > 0 ? 1_000 * seconds : undefined
      throw failed(`answers ${status} to ${method} ${path}: ${shortened(reply)}`, undefined, waitMs)
    }
    if (response.ok || expect.includes(status))
      return { status, body: bodyOf(reply, parse, { base, status, option }) }
    if (status === 401 || status === 403) {
      throw new ReembedError(
        'STORE_ACCESS_DENIED',
        `${base} denies access (${status}): ${shortened(reply)}; check the key or the password, and its rights`,
      )
    }
    throw new ReembedError('USAGE', `${base} refuses ${method} ${path} (${status}): ${shortened(reply)}`)
  }

  return {
    address,
    async request(method, path, request = {}) {
      const send = () => attempt(method, path, request)
      const reply = await (hasAnswered && !request.once ? withRetries(send, request) : send())
      hasAnswered = true
      return reply
    },
  }
}

/** What broke the connection; fetch names it as the cause of its own error. */
function causeOf(error: unknown): string {
  const cause = (error instanceof Error && error.cause) || error
  return codeOf(cause) ?? messageOf(cause)
}

const SHOWN_CHARS = 300
const shortened = (reply: string): string =>
  reply.length > SHOWN_CHARS ? `${reply.slice(0, SHOWN_CHARS)}…` : reply

interface ReplyContext {
  readonly base: string
  readonly status: number
  readonly option: string
}

/** The JSON of a reply; undefined for an empty one, and for an error page of a proxy. */
function bodyOf(
  reply: string,
  parse: (text: string) => unknown,
  { base, status, option }: ReplyContext,
): unknown {
  try {
    return reply === '' ? undefined : parse(reply)
  } catch (cause) {
    if (status >= 400) return undefined
    throw new ReembedError(
      'USAGE',
      `${base} answers with text that is not JSON: ${shortened(reply)}; correct the address, and check whether a proxy answers instead`,
      { option, cause },
    )
  }
}
