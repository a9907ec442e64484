// An HTTP server of JSON routes, for stand-ins of vector stores. A route that the stand-in does not
// know, an unknown query parameter and an unknown member of a body are refused, so that a client
// uses only what the documentation describes.

import type { IncomingMessage } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { type HttpStandIn, serveHttp } from './serve-http.ts'

export interface StandInRequest {
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly headers: IncomingMessage['headers']
  readonly text: string
  readonly bytes: number
}

export interface StandInReply {
  readonly status: number
  readonly body: unknown
  readonly headers?: Record<string, string>
  /** Closes the connection instead of replying: the work is done, the client does not learn it. */
  readonly reset?: boolean
}

export async function startStandIn(answer: (request: StandInRequest) => StandInReply): Promise<HttpStandIn> {
  return serveHttp(async (incoming, outgoing) => {
    // A client that was killed sends no whole body.
    const bytes = await buffer(incoming).catch(() => undefined)
    if (bytes === undefined) return
    const { pathname, searchParams } = new URL(incoming.url ?? '/', 'http://stand-in')
    const reply = answer({
      method: incoming.method ?? '',
      path: pathname,
      query: Object.fromEntries(searchParams),
      headers: incoming.headers,
      text: bytes.toString(),
      bytes: bytes.length,
    })
    if (reply.reset) {
      incoming.socket.destroy()
      return
    }
    outgoing.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers })
    outgoing.end(JSON.stringify(reply.body, exactBigint))
  })
}

const exactBigint = (_: string, value: unknown): unknown =>
  typeof value === 'bigint' ? rawJSON(String(value)) : value

/** Returns the members of a value that are not among the known ones. */
export const unknownMembers = (value: object, known: readonly string[]): string[] =>
  Object.keys(value).filter(name => !known.includes(name))

/** A loop: a search of the tests compares a hundred thousand vectors. */
export function dot(a: readonly number[], b: readonly number[]): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0)
  return sum
}

/** `JSON.rawJSON` of Node, which the library of TypeScript does not declare. */
export const rawJSON: (text: string) => unknown = (JSON as typeof JSON & { rawJSON(text: string): unknown })
  .rawJSON

/** Numbers as servers in Rust and Java write them: JSON.stringify would lose the sign of -0. */
export const exactNumbers = (values: readonly number[]): unknown[] =>
  values.map(value => (Object.is(value, -0) ? rawJSON('-0.0') : value))
