// The address of an endpoint, checked once where it enters.

import { ReembedError } from '@reembed/shared'

export interface EndpointAddress {
  /** Scheme, host and port. */
  readonly origin: string
  /** Path in front of `/info` and `/v1/embeddings`, without a slash at its end. */
  readonly basePath: string
  /** Both together: what messages and logs show. Holds no secret. */
  readonly url: string
}

/** Throws USAGE for what is no endpoint address, or would send the token where others can read it. */
export function parseAddress(
  given: string,
  token: string | undefined,
  allowInsecure: boolean,
): EndpointAddress {
  const parsed = URL.canParse(given) ? new URL(given) : undefined
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) {
    throw new ReembedError('USAGE', 'Expected an endpoint as http:// or https:// URL')
  }
  const { origin, username, password, search, hostname, protocol } = parsed
  if (username !== '' || password !== '' || search !== '') {
    throw new ReembedError('USAGE', `the endpoint URL of ${origin} must hold no password and no query`)
  }
  // 169.254.169.254 and its kin hand out the machine's credentials to whoever asks by plain http.
  if (isLinkLocal(hostname)) {
    throw new ReembedError(
      'USAGE',
      `${origin} is a link-local address, where clouds keep credentials: it is no endpoint`,
    )
  }
  if (token !== undefined && protocol === 'http:' && !allowInsecure && !isLoopback(hostname)) {
    throw new ReembedError(
      'USAGE',
      `a token would go to ${origin} unencrypted: use https, or allow it in a private network`,
      { option: 'allowInsecure' },
    )
  }
  // People paste the route they know.
  const basePath = parsed.pathname
    .replace(/\/+$/, '')
    .replace(/\/(?:v1(?:\/embeddings)?|embeddings|embed)$/, '')
  return { origin, basePath, url: origin + basePath }
}

/** Addresses at which clouds hand out a machine's credentials. `hostname` as in a URL: IPv6 in brackets. */
export const isLinkLocal = (hostname: string): boolean =>
  /^169\.254(?:\.\d+){2}$/.test(hostname) ||
  /^\[(?:fe[89ab][0-9a-f]:|::ffff:a9fe:|fd00:ec2:)/.test(hostname) ||
  hostname === 'metadata.google.internal'

const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d+){3}$/.test(hostname)
