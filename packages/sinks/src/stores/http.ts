// JSON over HTTP to a vector store, with the failures that pass by themselves told apart. Proxies are
// those of Node's fetch.

import { messageOf, ReembedError } from '@reembed/shared'

export interface HttpReply {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: each store checks the fields that it reads
  readonly body: any
}

export interface HttpRequest {
  /** A JSON value, or the text of a body with its content type. */
  readonly json?: unknown
  readonly text?: { readonly body: string; readonly type: string } | undefined
  /** Statuses besides 2xx that the caller handles. */
  readonly expect?: readonly number[] | undefined
  readonly signal?: AbortSignal | undefined
}

export interface HttpClient {
  /** The URL without credentials. */
  readonly address: string
  /**
   * @throws ReembedError STORE_UNREACHABLE for a failure that passes by itself, with the wait that the
   *   server asks for; STORE_ACCESS_DENIED; USAGE for a request that the server refuses
   */
  request(method: string, path: string, request?: HttpRequest): Promise<HttpReply>
}

/** A bulk request may wait for the disk. */
const REPLY_MS = 120_000
const OVERLOADED: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504])

/**
 * @param url with the name of the store in front: `qdrant+https://user:password@host:6333`
 * @param headers of each request
 */
export function createHttpClient(url: string, headers: Readonly<Record<string, string>>): HttpClient {
  const parsed = new URL(url.replace(/^[a-z]+\+/, ''))
  const { username, password } = parsed
  const authorization =
    username === ''
      ? {}
      : {
          authorization: `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')}`,
        }
  parsed.username = ''
  parsed.password = ''
  const base = parsed.href.replace(/\/$/, '')
  return {
    address: `${/^[a-z]+\+/.exec(url)?.[0] ?? ''}${base}`,
    async request(method, path, { json, text, expect = [], signal } = {}) {
      const type = text?.type ?? (json === undefined ? undefined : 'application/json')
      const limit = AbortSignal.timeout(REPLY_MS)
      const failed = (what: string, cause?: unknown, retryAfterMs?: number): ReembedError =>
        new ReembedError('STORE_UNREACHABLE', `${base} ${what}`, { retry: 'requeue', retryAfterMs, cause })
      let status: number
      let reply: string
      let retryAfter: string | null
      try {
        const response = await fetch(`${base}${path}`, {
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
        status = response.status
        retryAfter = response.headers.get('retry-after')
        reply = await response.text()
      } catch (cause) {
        signal?.throwIfAborted()
        const { cause: inner = cause } = cause instanceof Error ? cause : {}
        throw failed(`does not answer: ${messageOf(inner)}`, cause)
      }
      if (OVERLOADED.has(status)) {
        const seconds = Number(retryAfter)
        throw failed(
          `answers ${status} to ${method} ${path}: ${shortened(reply)}`,
          undefined,
          seconds > 0 ? 1_000 * seconds : undefined,
        )
      }
      if ((status >= 200 && status < 300) || expect.includes(status)) return { status, body: parse(reply) }
      if (status === 401 || status === 403) {
        throw new ReembedError(
          'STORE_ACCESS_DENIED',
          `${base} denies access (${status}): ${shortened(reply)}; check the key or the password, and its rights`,
        )
      }
      throw new ReembedError('USAGE', `${base} refuses ${method} ${path} (${status}): ${shortened(reply)}`)
    },
  }
}

const SHOWN_CHARS = 300
const shortened = (reply: string): string =>
  reply.length > SHOWN_CHARS ? `${reply.slice(0, SHOWN_CHARS)}…` : reply

function parse(reply: string): unknown {
  try {
    return reply === '' ? undefined : JSON.parse(reply)
  } catch {
    return undefined
  }
}
