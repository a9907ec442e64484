// /metrics, /live and /ready of one process. On loopback unless told; elsewhere /metrics wants a token, since it shows
// what a company is working on. /live and /ready say one word and are for everybody: a kubelet has no token.

import { createHash, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, BlockList, isIP } from 'node:net'
import { codeOf, ReembedError } from '../errors.ts'
import { CONTENT_TYPE, type Registry } from './registry.ts'

export interface MetricsServerOptions {
  readonly registry: Registry
  /** `9464`, `127.0.0.1:9464`, `[::]:9464`; port 0 takes a free one. */
  readonly listen: string
  /** Asked for as `Authorization: Bearer <token>` by /metrics, wherever it listens. */
  readonly token?: string | undefined
  /** Listens off loopback without a token: something else, a NetworkPolicy, keeps strangers out. */
  readonly open?: boolean | undefined
  /** Why this process can't do its work now, or null. */
  readonly unready: () => string | null
}

export interface MetricsServer extends AsyncDisposable {
  /** For example `http://127.0.0.1:9464`. */
  readonly url: string
}

/** @throws ReembedError USAGE for an address that can't be listened on, or one off loopback without a token. */
export async function serveMetrics(options: MetricsServerOptions): Promise<MetricsServer> {
  const { host, port } = parseListen(options.listen)
  if (!isLoopback(host) && !options.token && !options.open) {
    throw new ReembedError(
      'USAGE',
      `--metrics ${options.listen} can be reached from outside: set REEMBED_METRICS_TOKEN, or give --metrics-open where a firewall or NetworkPolicy guards it`,
    )
  }
  const server = createServer((request, response) => {
    answer(request, response, options).catch(() => response.destroy())
  })
  server.headersTimeout = 5_000
  server.requestTimeout = 10_000
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    throw new ReembedError(
      'USAGE',
      `cannot listen on --metrics ${options.listen} (${codeOf(error)}): give another port, or 0 for a free one`,
      { cause: error },
    )
  }
  server.unref()
  const { port: bound } = server.address() as AddressInfo
  return {
    url: `http://${isIP(host) === 6 ? `[${host}]` : host}:${bound}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { registry, token, unready }: MetricsServerOptions,
): Promise<void> {
  const say = (status: number, text: string, type = 'text/plain; charset=utf-8'): void => {
    response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(text)
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') return say(405, 'only GET\n')
  switch (request.url?.split('?', 1)[0]) {
    case '/live':
      return say(200, 'live\n')
    case '/ready': {
      const reason = unready()
      return reason === null ? say(200, 'ready\n') : say(503, `${reason}\n`)
    }
    case '/metrics': {
      if (token !== undefined && !isToken(request.headers.authorization, token))
        return say(401, 'send the token: Authorization: Bearer ...\n')
      return say(200, await registry.render(), CONTENT_TYPE)
    }
    default:
      return say(404, '/metrics, /live or /ready\n')
  }
}

/** Compared as hashes, in a time that tells neither the length nor the first wrong character. */
function isToken(header: string | undefined, token: string): boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(header ?? ''), hash(`Bearer ${token}`))
}

function parseListen(listen: string): { host: string; port: number } {
  const match = /^(?:(?<host>[\w.-]+|\[[0-9a-f:.]+\]):)?(?<port>\d{1,5})$/i.exec(listen.trim())
  const port = Number(match?.groups?.port)
  if (!match || port > 65_535) {
    throw new ReembedError(
      'USAGE',
      `--metrics ${listen} is no address: expected a port like 9464 (on loopback), or host:port`,
    )
  }
  return { host: (match.groups?.host ?? '127.0.0.1').replace(/^\[|\]$/g, ''), port }
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

const isLoopback = (host: string): boolean =>
  host === 'localhost' || (isIP(host) !== 0 && loopback.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4'))
