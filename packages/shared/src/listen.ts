// An address to listen on, as given by an option: a port of loopback unless a host is named.

import { once } from 'node:events'
import type { Server } from 'node:http'
import { type AddressInfo, BlockList, isIP } from 'node:net'
import { codeOf, ReembedError } from './errors.ts'

export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/** `9464`, `127.0.0.1:9464`, `[::]:9464`; port 0 takes a free one. @throws ReembedError USAGE with this `option`. */
export function parseListen(listen: string, option: string): ListenAddress {
  const match = /^(?:(?<host>[\w.-]+|\[[0-9a-f:.]+\]):)?(?<port>\d{1,5})$/i.exec(listen.trim())
  const port = Number(match?.groups?.port)
  if (!match || port > 65_535) {
    throw new ReembedError(
      'USAGE',
      `'${listen}' is not an address to listen on: use a port like 9464 (on loopback), or host:port`,
      { option },
    )
  }
  return { host: (match.groups?.host ?? '127.0.0.1').replace(/^\[|\]$/g, ''), port }
}

/** Resolves with the URL when the server listens. @throws ReembedError USAGE with this `option`. */
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

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || (isIP(host) !== 0 && loopback.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4'))
