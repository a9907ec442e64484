// Access to the console. On loopback reading is open, as the metrics server is; a request must then
// name a loopback host, so that a web page cannot reach the console by a DNS name of its own (DNS
// rebinding). Elsewhere a token is required: in a header, or exchanged once for a cookie. Actions
// need a token of their own, everywhere. A token is never part of an address, which logs and
// browsers keep.

import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { constantTimeEqual, isLoopback, LIMITS } from '@reembed/shared'

/** The result of an action, shown on the page of its run for a while. */
export interface Notice {
  readonly text: string
  readonly isError: boolean
}

/** The reader of a page. */
export interface Viewer {
  /** Given at the sign-in, recorded with each action; undefined for a reader without that right. */
  readonly name: string | undefined
  /** Proves that a form comes from a page of this session; undefined without the right to act. */
  readonly csrf: string | undefined
  /** The console has actions, and this reader may not act. */
  readonly canSignIn: boolean
  noticeOf(output: string, run: string): Notice | undefined
  note(output: string, run: string, notice: Notice): void
}

export interface Access {
  /** The reader of a request; undefined if it may not read pages. */
  viewer(request: IncomingMessage): Viewer | undefined
  /** The viewer of a request with the token for actions in its header, which needs no form. */
  program(request: IncomingMessage): Viewer | undefined
  /** Whether the request names a host of this server. */
  isOwnHost(request: IncomingMessage): boolean
  /**
   * The Set-Cookie value for a right token; undefined for a wrong one.
   * @param name recorded with actions; required for their token
   * @param isSecure whether the browser reached the console by TLS: it then never sends the cookie
   * without
   */
  exchange(token: string, name: string, isSecure: boolean): string | undefined
  /** Whether the console has actions. */
  readonly hasActions: boolean
}

export interface AccessOptions {
  /** Opens pages; undefined: every request on loopback may read. */
  readonly token: string | undefined
  /** Opens pages and actions; undefined: the console has none. */
  readonly actionsToken?: string | undefined
  readonly onLoopback: boolean
  readonly now?: () => number
}

interface Session {
  readonly untilMs: number
  readonly name: string | undefined
  readonly csrf: string | undefined
  readonly notices: Map<string, Notice & { readonly atMs: number }>
}

const COOKIE = 'reembed_console'
/** A session lasts a working day; the console forgets all sessions when it ends. */
const SESSION_SECONDS = 12 * 3600
const MAX_SESSIONS = LIMITS.sessions
const NOTICE_MS = 120_000
const MAX_NOTICES = 20
const NAME_CHARS = 100

export function createAccess({ token, actionsToken, onLoopback, now = Date.now }: AccessOptions): Access {
  const sessions = new Map<string, Session>()

  const bearer = ({ headers }: IncomingMessage, secret: string | undefined): boolean =>
    secret !== undefined && constantTimeEqual(headers.authorization ?? '', `Bearer ${secret}`)

  function sessionOf({ headers }: IncomingMessage): Session | undefined {
    const session = sessions.get(cookieOf(headers.cookie) ?? '')
    return session !== undefined && session.untilMs > now() ? session : undefined
  }

  const viewerOf = ({ name, csrf, notices }: Omit<Session, 'untilMs'>): Viewer => ({
    name,
    csrf,
    canSignIn: actionsToken !== undefined && csrf === undefined,
    noticeOf(output, run) {
      const notice = notices.get(`${output} ${run}`)
      return notice !== undefined && now() - notice.atMs < NOTICE_MS ? notice : undefined
    },
    note(output, run, notice) {
      for (const oldest of notices.keys()) if (notices.size >= MAX_NOTICES) notices.delete(oldest)
      notices.set(`${output} ${run}`, { ...notice, atMs: now() })
    },
  })
  const anonymous = viewerOf({ name: undefined, csrf: undefined, notices: new Map() })

  return {
    hasActions: actionsToken !== undefined,
    viewer(request) {
      const session = sessionOf(request)
      if (session !== undefined) return viewerOf(session)
      return token === undefined || bearer(request, token) || bearer(request, actionsToken)
        ? anonymous
        : undefined
    },
    program(request) {
      return bearer(request, actionsToken)
        ? viewerOf({ name: 'a program', csrf: undefined, notices: new Map() })
        : undefined
    },
    isOwnHost({ headers: { host = '' } }) {
      if (!onLoopback || token !== undefined) return true
      return URL.canParse(`http://${host}`) && isLoopback(new URL(`http://${host}`).hostname)
    },
    exchange(given, name, isSecure) {
      const mayAct = actionsToken !== undefined && constantTimeEqual(given, actionsToken)
      const mayRead = token !== undefined && constantTimeEqual(given, token)
      if ((!mayAct && !mayRead) || (mayAct && name.trim() === '')) return undefined
      const id = randomBytes(32).toString('base64url')
      for (const oldest of sessions.keys()) {
        if (sessions.size < MAX_SESSIONS) break
        sessions.delete(oldest)
      }
      sessions.set(id, {
        untilMs: now() + 1000 * SESSION_SECONDS,
        name: mayAct ? name.trim().slice(0, NAME_CHARS) : undefined,
        csrf: mayAct ? randomBytes(32).toString('base64url') : undefined,
        notices: new Map(),
      })
      const attributes = `Path=/; HttpOnly; SameSite=Strict; Max-Age=${SESSION_SECONDS}`
      return `${COOKIE}=${id}; ${attributes}${isSecure ? '; Secure' : ''}`
    },
  }
}

const cookieOf = (header = ''): string | undefined =>
  header
    .split(';')
    .map(pair => pair.trim())
    .find(pair => pair.startsWith(`${COOKIE}=`))
    ?.slice(COOKIE.length + 1)
