// A proxy in front of an endpoint that a test can point at another server, or have refuse requests,
// while workers use it.

import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, request as send } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'

export interface Front extends AsyncDisposable {
  readonly url: string
  /** The server that answers. */
  target: string
  /** Answers with this status instead, if not undefined. */
  refuse: (headers: IncomingHttpHeaders) => number | undefined
}

export async function openFront(
  target: string,
  tls?: { readonly key: string; readonly cert: string },
): Promise<Front> {
  const server = tls ? createTlsServer(tls) : createServer()
  server.listen(0, 'localhost')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const front: Front = {
    url: `${tls ? 'https' : 'http'}://localhost:${port}`,
    target,
    refuse: () => undefined,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
  server.on('request', (request, response) => {
    const status = front.refuse(request.headers)
    if (status !== undefined) {
      request.resume()
      return void response.writeHead(status, { 'content-type': 'application/json' }).end('{}')
    }
    const { method, headers } = request
    const upstream = send(`${front.target}${request.url}`, { method, headers }, reply => {
      response.writeHead(reply.statusCode ?? 502, reply.headers)
      reply.pipe(response)
    })
    upstream.on('error', () => response.destroy())
    request.pipe(upstream)
  })
  return front
}

/** Whether a request has this token, in any of the headers in which clients send tokens. */
export const hasToken = (headers: IncomingHttpHeaders, token: string): boolean =>
  headers.authorization === `Bearer ${token}` || headers['api-key'] === token
