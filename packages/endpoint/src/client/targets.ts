// The forms of an endpoint's URL:
//
//   http://tei:8080                      one URL, with any number of servers behind it
//   http://gpu-1:8080,http://gpu-2:8080  replicas, each with a URL
//   dns+http://tei:8080                  a replica at each address of the name, resolved every few seconds

import { isIP } from 'node:net'
import { isLinkLocal, messageOf, ReembedError, resolveHost } from '@reembed/shared'
import { parseAddress } from './url.ts'

/** The address of one replica. */
export interface EndpointTarget {
  /** The URL, and the IP address where the name is resolved here. For messages; holds no secret. */
  readonly label: string
  /** As given; its query may hold a secret. */
  readonly url: string
  /** IP address to connect to instead of resolving the URL's name; `Host` and SNI stay the name. */
  readonly address?: string
}

/** Resolves with all addresses of a name. */
export type Resolve = (hostname: string) => Promise<readonly string[]>

export interface EndpointTargets {
  /** All URLs, sorted: the same name for any order of the replicas. */
  readonly name: string
  /** Whether replicas are addressed individually. */
  readonly isReplicated: boolean
  /**
   * Resolves the names. A name that cannot be resolved keeps its last addresses.
   * @throws ReembedError ENDPOINT_UNREACHABLE while no replica is known.
   */
  resolve(): Promise<EndpointTarget[]>
}

export interface EndpointTargetsOptions {
  readonly token?: string | undefined
  readonly allowInsecure?: boolean | undefined
  readonly resolve?: Resolve | undefined
}

const DNS = 'dns+'

/**
 * Parses an endpoint's URL. @throws ReembedError USAGE for an invalid URL, or one that would expose
 * the token
 */
export function parseTargets(
  given: string,
  { token, allowInsecure = false, resolve = resolveHost }: EndpointTargetsOptions = {},
): EndpointTargets {
  const named = given.split(',').map(one => {
    const isName = one.trim().startsWith(DNS)
    const url = one.trim().slice(isName ? DNS.length : 0)
    const { url: label } = parseAddress(url, token, allowInsecure)
    return isName ? createName(url, label, resolve) : { label, resolve: async () => [{ label, url }] }
  })
  // A replica that is named twice, with and without a route, counts once.
  const sources = [...new Map(named.map(source => [source.label, source])).values()].sort((a, b) =>
    a.label < b.label ? -1 : 1,
  )
  return {
    name: sources.map(({ label }) => label).join(','),
    isReplicated: sources.length > 1 || given.startsWith(DNS),
    async resolve() {
      const found = await Promise.allSettled(sources.map(source => source.resolve()))
      const targets = found.flatMap(one => (one.status === 'fulfilled' ? one.value : []))
      const failed = found.find(one => one.status === 'rejected')
      if (targets.length === 0 && failed) throw failed.reason
      return targets
    },
  }
}

function createName(
  url: string,
  label: string,
  resolve: Resolve,
): { label: string; resolve(): Promise<EndpointTarget[]> } {
  const { hostname } = new URL(url)
  let known: EndpointTarget[] = []
  return {
    label: DNS + label,
    async resolve() {
      try {
        const addresses = [...new Set(await resolve(hostname))]
        if (addresses.length === 0) throw new Error('no address')
        known = addresses.map(address => ({
          label: `${label} (${checked(address, hostname)})`,
          url,
          address,
        }))
      } catch (error) {
        if (known.length === 0) throw unresolved(hostname, error)
      }
      return known
    },
  }
}

function checked(at: string, hostname: string): string {
  // URL normalises an IPv4-mapped IPv6 address, so the check covers that form too.
  if (isIP(at) > 0 && !isLinkLocal(new URL(`http://${isIP(at) === 6 ? `[${at}]` : at}`).hostname)) return at
  throw new ReembedError(
    'ENDPOINT_UNSUPPORTED',
    `${hostname} resolves to ${at}, a link-local or invalid address: correct its DNS record`,
  )
}

const unresolved = (hostname: string, error: unknown): ReembedError =>
  error instanceof ReembedError
    ? error
    : new ReembedError(
        'ENDPOINT_UNREACHABLE',
        `${hostname} has no address (${messageOf(error)}): correct the URL or its DNS record`,
        { retry: 'requeue' },
      )
