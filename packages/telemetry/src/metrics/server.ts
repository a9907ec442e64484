// The HTTP server for /metrics, /live and /ready of one process. It listens on loopback by default.
// On other addresses /metrics requires a token, because metrics reveal what is being embedded.
// /live and /ready reveal only the state of the process and need no token: a kubelet probe has
// none.

import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  constantTimeEqual,
  createBoundedServer,
  isLoopback,
  listenOn,
  parseListen,
  ReembedError,
} from '@reembed/shared'
import { CONTENT_TYPE, type Registry } from './registry.ts'

export interface MetricsServerOptions {
  readonly registry: Registry
  /** `9464`, `127.0.0.1:9464` or `[::]:9464`. Port 0 selects a free port. */
  readonly listen: string
  /** If set, /metrics requires `Authorization: Bearer <token>` on every address. */
  readonly token?: string | undefined
  /** Permits an address other than loopback without a token, for example behind a NetworkPolicy. */
  readonly allowUnauthenticated?: boolean | undefined
  /** Returns why this process is not ready, or null if it is ready. */
  readonly notReadyReason: () => string | null | Promise<string | null>
}

/** A running metrics server. Disposal closes all connections. */
export interface MetricsServer extends AsyncDisposable {
  /** For example `http://127.0.0.1:9464`. */
  readonly url: string
}

/**
 * Starts the metrics server. It does not keep the process alive.
 * @throws ReembedError USAGE if the address is invalid, in use, or not loopback and has no token
 */
export async function serveMetrics(options: MetricsServerOptions): Promise<MetricsServer> {
  const { host, port } = parseListen(options.listen, 'metrics')
  if (!isLoopback(host) && !options.token && !options.allowUnauthenticated) {
    throw new ReembedError(
      'USAGE',
      `metrics on ${options.listen} would be open to other machines: set a token, or allow unauthenticated access behind a firewall or NetworkPolicy`,
      { option: 'metrics.allowUnauthenticated' },
    )
  }
  const server = createBoundedServer((request, response) => {
    answer(request, response, options).catch(() => response.destroy())
  })
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
  const reply = (status: number, text: string, type = 'text/plain; charset=utf-8'): void => {
    response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(text)
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') return reply(405, 'use GET\n')
  switch (request.url?.split('?', 1)[0]) {
    case '/live':
      return reply(200, 'live\n')
    case '/ready': {
      const reason = await notReadyReason()
      return reason === null ? reply(200, 'ready\n') : reply(503, `${reason}\n`)
    }
    case '/metrics': {
      if (token !== undefined && !constantTimeEqual(request.headers.authorization ?? '', `Bearer ${token}`))
        return reply(401, 'send the token: Authorization: Bearer ...\n')
      return reply(200, await registry.render(), CONTENT_TYPE)
    }
    default:
      return reply(404, '/metrics, /live or /ready\n')
  }
}
