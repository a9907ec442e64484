import { isLinkLocal, isLoopback, ReembedError } from '@reembed/shared'

export interface EndpointAddress {
  /** Scheme, host and port. */
  readonly origin: string
  /** Path before `/info` and `/v1/embeddings`, without a trailing slash. */
  readonly basePath: string
  /** `origin` + `basePath`, for messages and logs. Holds no secret. */
  readonly url: string
  /** Path and query of the OpenAI-compatible route: that of the URL, if it names one. */
  readonly embeddingsPath: string
}

const EMBEDDINGS_ROUTE = /\/embeddings$/

/**
 * Parses the URL of an endpoint. @throws ReembedError USAGE for an invalid URL, or one that would
 * expose the token
 */
export function parseAddress(
  given: string,
  token: string | undefined,
  allowInsecure: boolean,
): EndpointAddress {
  const parsed = URL.canParse(given) ? new URL(given) : undefined
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) {
    // A value with '@' may hold a password.
    const isAddress = /^[\w.-]+:\d+$/.test(given)
    const remedy = isAddress ? `: write http://${given}` : given.includes('@') ? '' : `, got '${given}'`
    throw new ReembedError('USAGE', `the endpoint must be an http:// or https:// URL${remedy}`, {
      option: 'endpoint',
    })
  }
  const { origin, username, password, search, hostname, protocol } = parsed
  if (username !== '' || password !== '') {
    throw new ReembedError(
      'USAGE',
      `the URL of endpoint ${origin} must not hold a password: set the token instead`,
    )
  }
  const pathname = parsed.pathname.replace(/\/+$/, '')
  const namesRoute = EMBEDDINGS_ROUTE.test(pathname)
  if (search !== '' && !namesRoute) {
    throw new ReembedError(
      'USAGE',
      `the URL of endpoint ${origin} must not hold a query, unless its path ends with /embeddings: remove the query, or give the whole URL of the embeddings route`,
    )
  }

  if (isLinkLocal(hostname)) {
    throw new ReembedError(
      'USAGE',
      `${origin} is a link-local address, which serves the credentials of a cloud machine: use the endpoint's own address`,
    )
  }
  if (token !== undefined && protocol === 'http:' && !allowInsecure && !isLoopback(hostname)) {
    throw new ReembedError(
      'USAGE',
      `the token would be sent to ${origin} unencrypted: use an https:// URL, or allow insecure endpoints in a private network`,
      { option: 'allowInsecure' },
    )
  }
  // Users paste the URL of a route. TEI's other routes are beside it.
  const basePath = pathname.replace(/\/(?:v1(?:\/embeddings)?|embeddings|embed)$/, '')
  return {
    origin,
    basePath,
    url: origin + basePath,
    embeddingsPath: namesRoute ? pathname + search : `${basePath}/v1/embeddings`,
  }
}
