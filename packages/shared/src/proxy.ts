// The proxy variables of this process, for every client that leaves the machine.

import { ReembedError } from './errors.ts'

/** The variables as Node's agents and undici read them. */
export interface ProxyEnv {
  readonly HTTP_PROXY?: string
  readonly HTTPS_PROXY?: string
  readonly NO_PROXY: string
}

/** Local servers are never behind a proxy: the private Redis, the local endpoint, a sidecar. */
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]', '::1']

/**
 * Returns the proxies of HTTP_PROXY, HTTPS_PROXY and NO_PROXY, each also in lower case, or
 * undefined if no proxy is set. HTTP_PROXY is also the proxy of https:// if HTTPS_PROXY is not set.
 * Loopback addresses never use a proxy.
 * @throws ReembedError USAGE if a proxy is not an http:// or https:// URL
 */
export function proxyEnv(env: NodeJS.ProcessEnv = process.env): ProxyEnv | undefined {
  const proxies: { HTTP_PROXY?: string; HTTPS_PROXY?: string } = {}
  for (const name of ['HTTP_PROXY', 'HTTPS_PROXY'] as const) {
    const url = env[name.toLowerCase()] || env[name]
    if (!url) continue
    if (!/^https?:\/\//i.test(url) || !URL.canParse(url)) {
      // The value may contain a password.
      throw new ReembedError(
        'USAGE',
        `${name} is not an http:// or https:// URL: set it to the URL of the proxy, for example http://proxy:3128`,
      )
    }
    proxies[name] = url
  }
  if (Object.keys(proxies).length === 0) return undefined
  if (proxies.HTTP_PROXY !== undefined) proxies.HTTPS_PROXY ??= proxies.HTTP_PROXY
  const exceptions = env.no_proxy || env.NO_PROXY
  return { ...proxies, NO_PROXY: [...(exceptions ? [exceptions] : []), ...LOOPBACK].join(',') }
}
