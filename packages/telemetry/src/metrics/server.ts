// /metrics, /live and /ready of one process. On loopback unless told; elsewhere /metrics wants a token, since it shows
// what a company is working on. /live and /ready say one word and are for everybody: a kubelet has no token.

import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { isLoopback, listenOn, parseListen, ReembedError } from '@reembed/shared'
import { CONTENT_TYPE, type Registry } from './registry.ts'

export interface MetricsServerOptions {
  readonly registry: Registry
  /** `9464`, `127.0.0.1:9464`, `[::]:9464`; port 0 takes a free one. */
  readonly listen: string
  /** Asked for as `Authorization: Bearer <token>` by /metrics, wherever it listens. */
  readonly token?: string | undefined
  /** Listens off loopback without a token: something else, a NetworkPolicy, keeps strangers out. */
  readonly allowUnauthenticated?: boolean | undefined
  /** Why this process can't do its work now, or null. */
  readonly notReadyReason: () => string | null
}

export interface MetricsServer extends AsyncDisposable {
  /** For example `http://127.0.0.1:9464`. */
  readonly url: string
}

/** @throws ReembedError USAGE for an address that can't be listened on, or one off loopback without a token. */
export async function serveMetrics(options: MetricsServerOptions): Promise<MetricsServer> {
  const { host, port } = parseListen(options.listen, 'metrics')
  if (!isLoopback(host) && !options.token && !options.allowUnauthenticated) {
    throw new ReembedError(
      'USAGE',
      `metrics on ${options.listen} would be open to other machines: set a token, or allow unauthenticated access behind a firewall or NetworkPolicy`,
      { option: 'metrics.allowUnauthenticated' },
    )
  }
  const server = createServer((request, response) => {
    answer(request, response, options).catch(() => response.destroy())
  })
  server.headersTimeout = 5_000
  server.requestTimeout = 10_000
  const url = await listenOn(server, { host, port }, 'metrics')
  server.unref()
  return {
    url,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { registry, token, notReadyReason }: MetricsServerOptions,
): Promise<void> {
  const say = (status: number, text: string, type = 'text/plain; charset=utf-8'): void => {
    response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(text)
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') return say(405, 'only GET\n')
  switch (request.url?.split('?', 1)[0]) {
    case '/live':
      return say(200, 'live\n')
    case '/ready': {
      const reason = notReadyReason()
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
