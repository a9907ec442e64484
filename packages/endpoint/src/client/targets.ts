// What the URL of an endpoint may name:
//
//   http://tei:8080                      one URL; who answers behind it is not known
//   http://gpu-1:8080,http://gpu-2:8080  replicas, each with a URL
//   dns+http://tei:8080                  a replica at each address of the name, asked for again every few seconds

import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { messageOf, ReembedError } from '@reembed/shared'
import { isLinkLocal, parseAddress } from './url.ts'

/** Where one replica is. */
export interface EndpointTarget {
  /** The URL, and the address where the name has several. For people; holds no secret. */
  readonly label: string
  readonly url: string
  /** IP to connect to, whatever the URL's name resolves to; `Host` and SNI stay the name. */
  readonly address?: string
}

/** All addresses of a name. */
export type Resolve = (hostname: string) => Promise<readonly string[]>

export interface EndpointTargets {
  /** Whatever the order in which the replicas were given. */
  readonly name: string
  /** Whether replicas are addressed one by one. */
  readonly isReplicated: boolean
  /**
   * A name that cannot be resolved keeps the addresses that it had.
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

/** By the system's resolver, which knows /etc/hosts and the search domains of a Kubernetes namespace. */
const resolveBySystem: Resolve = async hostname =>
  (await lookup(hostname, { all: true })).map(({ address }) => address)

/** @throws ReembedError USAGE for what is no endpoint, or would send the token where others can read it. */
export function parseTargets(
  given: string,
  { token, allowInsecure = false, resolve = resolveBySystem }: EndpointTargetsOptions = {},
): EndpointTargets {
  const named = given.split(',').map(one => one.trim())
  const sources = [...new Set(named)].sort().map(one => {
    const isName = one.startsWith(DNS)
    const { url } = parseAddress(isName ? one.slice(DNS.length) : one, token, allowInsecure)
    return isName ? createName(url, resolve) : { label: url, resolve: async () => [{ label: url, url }] }
  })
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

function createName(url: string, resolve: Resolve): { label: string; resolve(): Promise<EndpointTarget[]> } {
  const { hostname } = new URL(url)
  let known: EndpointTarget[] = []
  return {
    label: DNS + url,
    async resolve() {
      try {
        const addresses = [...new Set(await resolve(hostname))]
        if (addresses.length === 0) throw new Error('no address')
        known = addresses.map(address => ({ label: `${url} (${checked(address, hostname)})`, url, address }))
      } catch (error) {
        if (known.length === 0) throw unresolved(hostname, error)
      }
      return known
    },
  }
}

function checked(at: string, hostname: string): string {
  // As a URL writes it: an IPv4 address in IPv6 clothes is seen as what it is.
  if (isIP(at) > 0 && !isLinkLocal(new URL(`http://${isIP(at) === 6 ? `[${at}]` : at}`).hostname)) return at
  throw new ReembedError('ENDPOINT_UNSUPPORTED', `${hostname} resolves to ${at}, which no endpoint may have`)
}

const unresolved = (hostname: string, error: unknown): ReembedError =>
  error instanceof ReembedError
    ? error
    : new ReembedError('ENDPOINT_UNREACHABLE', `${hostname} has no address: ${messageOf(error)}`, {
        retry: 'requeue',
      })
