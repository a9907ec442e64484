// A GET whose redirects are checked before they are followed. `fetch` drops the authorization when
// a redirect leaves the origin (https://fetch.spec.whatwg.org/#http-redirect-fetch), but follows
// one to any address, also to that of a cloud's metadata service, and would return its reply.

import { isLinkLocal, type ReembedError } from '@reembed/shared'

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
/** The Hub redirects once to its file storage; a mirror may add some. */
const MAX_HOPS = 10

/** The first request, and the error for a redirect that must not be followed. */
export interface RedirectedRequest {
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  /** @param what names the server and where it redirects to */
  readonly refused: (what: string) => ReembedError
}

/**
 * Sends a GET and follows redirects. `authorization` is sent to the origin of `url` alone: once a
 * redirect has left it, no later request has it.
 * @throws what `refused` returns, for a redirect to a link-local address or to another protocol
 *   than HTTP; Error after ten redirects, as `fetch` would after twenty
 */
export async function getFollowing(
  url: string,
  { headers, signal, refused }: RedirectedRequest,
): Promise<Response> {
  let at = new URL(url)
  let sent = headers
  for (let hops = 0; ; hops += 1) {
    const response = await fetch(at.href, { headers: sent, signal, redirect: 'manual' })
    const location = response.headers.get('location')
    if (!REDIRECTS.has(response.status) || location === null) return response
    await response.body?.cancel()
    const next = URL.canParse(location, at.href) ? new URL(location, at) : undefined
    if (next === undefined || !/^https?:$/.test(next.protocol))
      throw refused(`${at.origin} redirects to what is no HTTP URL`)
    if (isLinkLocal(next.hostname))
      throw refused(`${at.origin} redirects to ${next.origin}, a link-local address`)
    if (hops >= MAX_HOPS) throw new Error(`${at.origin} redirects for the ${MAX_HOPS + 1}th time`)
    if (next.origin !== at.origin) {
      const { authorization: _, ...others } = sent
      sent = others
    }
    at = next
  }
}
