// A collector of traces: takes OTLP over real HTTP, as JSON it can read and as Protobuf it only
// keeps.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'

export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  /** 3 is a client, 4 a producer, 5 a consumer. */
  readonly kind: number
  /** 2 is an error. */
  readonly status: { readonly code?: number; readonly message?: string }
  readonly attributes: Readonly<Record<string, unknown>>
  readonly resource: Readonly<Record<string, unknown>>
}

export interface Collector extends AsyncDisposable {
  readonly url: string
  readonly spans: readonly ReceivedSpan[]
  /** All bodies as they came. */
  readonly bodies: readonly Buffer[]
  readonly types: readonly (string | undefined)[]
  readonly authorizations: readonly (string | undefined)[]
}

type Listed = readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[]
const values = (list: Listed = []): Record<string, unknown> =>
  Object.fromEntries(
    list.map(({ key, value: { intValue, ...other } }) => [
      key,
      intValue === undefined ? Object.values(other)[0] : Number(intValue),
    ]),
  )

/** @param silent takes connections and never answers */
export async function startCollector({
  silent = false,
}: {
  readonly silent?: boolean
} = {}): Promise<Collector> {
  const spans: ReceivedSpan[] = []
  const [bodies, types, authorizations]: [Buffer[], (string | undefined)[], (string | undefined)[]] = [
    [],
    [],
    [],
  ]
  const server = createServer(async (request, response) => {
    if (silent) return
    const sent = await buffer(request)
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent
    bodies.push(body)
    types.push(request.headers['content-type'])
    authorizations.push(request.headers.authorization)
    const known = request.method === 'POST' && request.url === '/v1/traces'
    if (known && request.headers['content-type'] === 'application/json') {
      for (const { resource, scopeSpans } of JSON.parse(body.toString()).resourceSpans)
        for (const { spans: these } of scopeSpans)
          for (const span of these)
            spans.push({
              ...span,
              attributes: values(span.attributes),
              resource: values(resource.attributes),
            })
    }
    response.writeHead(known ? 200 : 404, { 'content-type': 'application/json' }).end('{}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    bodies,
    types,
    authorizations,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
