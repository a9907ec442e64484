// A proxy in front of an endpoint: counts the texts that pass, and can be closed after a number
// of them, so that a test can act in the middle of a run without waiting for a while and hoping.

import { once } from 'node:events'
import { createServer, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Gate extends AsyncDisposable {
  readonly url: string
  /** Texts of all requests that were let through. */
  readonly texts: number
  /** These texts, canaries among them. */
  readonly sent: string[]
  /** Shuts the gate once this many texts went through; requests then wait until it is opened. */
  closeAfter(texts: number): void
  /** Resolves when a request stands before the shut gate. */
  readonly closed: Promise<void>
  open(): void
}

export async function openGate(target: string): Promise<Gate> {
  const sent: string[] = []
  let limit = Number.POSITIVE_INFINITY
  let opened = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<void>()

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const body = Buffer.concat(chunks)
    if (sent.length >= limit) {
      closed.resolve()
      await opened.promise
    }
    sent.push(...textsOf(request.url, body))
    const upstream = send(
      `${target}${request.url}`,
      { method: request.method, headers: request.headers },
      reply => {
        response.writeHead(reply.statusCode ?? 502, reply.headers)
        reply.pipe(response)
      },
    )
    upstream.on('error', () => response.destroy())
    upstream.end(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sent,
    get texts() {
      return sent.length
    },
    closeAfter(n) {
      limit = n
      opened = Promise.withResolvers()
    },
    closed: closed.promise,
    open() {
      limit = Number.POSITIVE_INFINITY
      opened.resolve()
    },
    async [Symbol.asyncDispose]() {
      opened.resolve()
      server.closeAllConnections()
      server.close()
    },
  }
}

/** Of /tokenize none: nothing is embedded there. */
function textsOf(url = '', body: Buffer): string[] {
  if (body.length === 0 || url.endsWith('/tokenize')) return []
  const { input, inputs } = JSON.parse(body.toString())
  const given = input ?? inputs
  return Array.isArray(given) ? given : [given]
}
