// Listen addresses. An address without a host is a port on loopback.

import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, BlockList, isIP } from 'node:net'
import { codeOf, ReembedError } from './errors.ts'
import { LIMITS } from './limits.ts'

export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/**
 * Parses a listen address: `9464`, `127.0.0.1:9464` or `[::]:9464`. Port 0 selects a free port.
 * @throws ReembedError USAGE that names `option`, the setting that holds the address
 */
export function parseListen(listen: string, option: string): ListenAddress {
  const match = /^(?:(?<host>[\w.-]+|\[[0-9a-f:.]+\]):)?(?<port>\d{1,5})$/i.exec(listen.trim())
  const port = Number(match?.groups?.port)
  if (!match || port > 65_535) {
    throw new ReembedError(
      'USAGE',
      `'${listen}' is not a listen address: expected a port such as 9464 (on loopback), or host:port`,
      { option },
    )
  }
  return { host: (match.groups?.host ?? '127.0.0.1').replace(/^\[|\]$/g, ''), port }
}

/**
 * Binds `server` and returns its URL, for example 'http://127.0.0.1:9464'.
 * @throws ReembedError USAGE that names `given`, the address as the user wrote it
 */
export async function listenOn(
  server: Server,
  { host, port }: ListenAddress,
  option: string,
): Promise<string> {
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    throw new ReembedError(
      'USAGE',
      `cannot listen on ${host}:${port} (${codeOf(error)}): use another port, or 0 for a free one`,
      { option, cause: error },
    )
  }
  const { port: bound } = server.address() as AddressInfo
  return `http://${isIP(host) === 6 ? `[${host}]` : host}:${bound}`
}

/** Connections at the same time; more are closed at once. */
const MAX_CONNECTIONS = LIMITS.connections
const HEADERS_MS = 5_000
const REQUEST_MS = 10_000
/** Node checks the two limits above at this interval; its default is 30 s. */
const CHECK_MS = 1_000
const MAX_HEADER_BYTES = LIMITS.headerBytes

/**
 * Creates a server for a port that other machines may reach: its connections are bounded in number,
 * in the size of their headers and in time, before a request is authenticated.
 * @param held connections that may stay open besides, as those of pages that are kept up to date
 */
export function createBoundedServer(answer: RequestListener, held = 0): Server {
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      connectionsCheckingInterval: CHECK_MS,
    },
    answer,
  )
  server.maxConnections = MAX_CONNECTIONS + held
  return server
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/**
 * Whether `host` is a loopback address or 'localhost'. Accepts an IPv6 address in brackets, as in
 * `URL.hostname`.
 */
export function isLoopback(host: string): boolean {
  const address = host.replace(/^\[(.*)\]$/, '$1')
  const family = isIP(address)
  return host === 'localhost' || (family !== 0 && loopback.check(address, family === 6 ? 'ipv6' : 'ipv4'))
}
