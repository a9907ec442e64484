// A reverse proxy that buffers whole bodies, so that it can answer instead of its upstream or
// inject a fault into a reply. The load balancer and the fake HF proxy differ only in their
// routing.

import { once } from 'node:events'
import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as openRequest,
} from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { type Reply, writeReply } from '@reembed/local'
import { type Clock, codeOf } from '@reembed/shared'
import { type Fault, htmlPage, replyOverrideOf } from './fault.ts'

export interface ProxiedRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** Number of the request at this gateway, from 1. */
  readonly number: number
  /** Aborted when the client disconnects. */
  readonly signal: AbortSignal
}

export type RouteDecision = { readonly origins: readonly string[] } | { readonly reply: Reply }

export interface GatewayOptions {
  readonly clock: Clock
  readonly port?: number | undefined
  /** Returns the origins to try in order, or a reply. */
  readonly route: (request: ProxiedRequest) => Promise<RouteDecision> | RouteDecision
  /** Called for each forwarded request. Returns the fault, if any. */
  readonly fault?: ((request: ProxiedRequest) => Fault | undefined) | undefined
  /** Called when the request was answered, or the client has disconnected. */
  readonly onEnd?: ((request: ProxiedRequest) => void) | undefined
  /** Answers with an HTML 504 after this many milliseconds. Default never. */
  readonly timeoutMs?: number | undefined
}

export interface Gateway extends AsyncDisposable {
  readonly url: string
}

export async function startGateway({
  clock,
  port = 0,
  route,
  fault,
  onEnd,
  timeoutMs,
}: GatewayOptions): Promise<Gateway> {
  const agent = new Agent({ keepAlive: true })
  const sockets = new Set<Socket>()
  let number = 0

  const server = createServer(async (request, response) => {
    const disconnected = new AbortController()
    response.on('close', () => disconnected.abort())
    const { signal } = disconnected
    const { method = 'GET', url: path = '/', headers } = request
    const forwarded = { method, path, headers, number: ++number, signal }
    try {
      const body = await bodyOf(request)
      const routed = await route(forwarded)
      const interference = signal.aborted ? undefined : fault?.(forwarded)
      const spoilt = interference && replyOverrideOf(interference, clock)
      const reply =
        spoilt?.reply ?? ('reply' in routed ? routed.reply : await forward(routed.origins, forwarded, body))
      if (!signal.aborted) (spoilt?.write ?? writeReply)(response, reply)
    } catch {
      // Upstream errors become replies, so an exception here means that the client disconnected.
      response.destroy()
    } finally {
      onEnd?.(forwarded)
    }
  })
  server.keepAliveTimeout = 0
  server.requestTimeout = 0
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })

  async function forward(origins: readonly string[], request: ProxiedRequest, body: Buffer): Promise<Reply> {
    const late = new AbortController()
    const done = new AbortController()
    if (timeoutMs !== undefined)
      clock.sleep(timeoutMs, done.signal).then(
        () => late.abort(),
        () => {},
      )
    const signal = AbortSignal.any([request.signal, late.signal])
    try {
      for (const origin of origins) {
        try {
          return await exchange(origin, request, body, signal)
        } catch (error) {
          // After a refused connection nothing was sent, so the next origin may be tried.
          if (codeOf(error) !== 'ECONNREFUSED') break
        }
      }
    } finally {
      done.abort()
    }
    return late.signal.aborted ? htmlPage(504, 'Gateway Time-out') : htmlPage(502, 'Bad Gateway')
  }

  async function exchange(
    origin: string,
    { method, path, headers }: ProxiedRequest,
    body: Buffer,
    signal: AbortSignal,
  ): Promise<Reply> {
    const { connection: _, ...passed } = headers
    const outgoing = openRequest(origin + path, { method, headers: passed, agent, signal }).end(body)
    const [reply] = (await once(outgoing, 'response')) as [IncomingMessage]
    const { connection: __, 'transfer-encoding': ___, 'content-length': ____, ...kept } = reply.headers
    const answer = (await bodyOf(reply)).toString()
    const isJson = /json/.test(reply.headers['content-type'] ?? '')
    return {
      status: reply.statusCode ?? 502,
      headers: kept as Record<string, string>,
      ...(isJson ? { json: answer } : { text: answer }),
    }
  }

  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      agent.destroy()
      if (!server.listening) return
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

async function bodyOf(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}
