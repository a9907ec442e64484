// Access to the console. On loopback it is open, as the metrics server is; a request must then name
// a loopback host, so that a web page cannot reach the console by a DNS name of its own (DNS
// rebinding). Elsewhere a token is required: in a header, or exchanged once for a cookie. The token
// is never part of an address, which logs and browsers keep.

import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { constantTimeEqual, isLoopback } from '@reembed/shared'

export interface Access {
  /** Whether the request may read pages. */
  permits(request: IncomingMessage): boolean
  /** Whether the request names a host of this server. */
  isOwnHost(request: IncomingMessage): boolean
  /** The Set-Cookie value for the right token; undefined for a wrong one. */
  exchange(token: string): string | undefined
}

const COOKIE = 'reembed_console'
/** A session lasts a working day; the console forgets all sessions when it ends. */
const SESSION_SECONDS = 12 * 3600
const MAX_SESSIONS = 1_000

export function createAccess({
  token,
  onLoopback,
  isSecure = false,
}: {
  readonly token: string | undefined
  readonly onLoopback: boolean
  readonly isSecure?: boolean | undefined
}): Access {
  /** Session ids with their expiry. */
  const sessions = new Map<string, number>()
  return {
    permits({ headers }) {
      if (token === undefined) return true
      if (constantTimeEqual(headers.authorization ?? '', `Bearer ${token}`)) return true
      const session = cookieOf(headers.cookie)
      return session !== undefined && (sessions.get(session) ?? 0) > Date.now()
    },
    isOwnHost({ headers: { host = '' } }) {
      if (!onLoopback || token !== undefined) return true
      return URL.canParse(`http://${host}`) && isLoopback(new URL(`http://${host}`).hostname)
    },
    exchange(given) {
      if (token === undefined || !constantTimeEqual(given, token)) return undefined
      const session = randomBytes(32).toString('base64url')
      for (const oldest of sessions.keys()) {
        if (sessions.size < MAX_SESSIONS) break
        sessions.delete(oldest)
      }
      sessions.set(session, Date.now() + 1000 * SESSION_SECONDS)
      const attributes = `Path=/; HttpOnly; SameSite=Strict; Max-Age=${SESSION_SECONDS}`
      return `${COOKIE}=${session}; ${attributes}${isSecure ? '; Secure' : ''}`
    },
  }
}

const cookieOf = (header = ''): string | undefined =>
  header
    .split(';')
    .map(pair => pair.trim())
    .find(pair => pair.startsWith(`${COOKIE}=`))
    ?.slice(COOKIE.length + 1)
