// A test request by one route: it shows whether the server accepts the form of the request, and
// what its vectors are.

import { NORM_TOLERANCE, normOf } from '@reembed/shared'
import { dimensionsOf, InvalidReplyError } from './decode.ts'
import { dimensionsOfBytes, isBytesReply } from './decode-bytes.ts'
import type { EndpointInfo } from './info.ts'
import { type Failure, toError } from './outcome.ts'
import { decode, dtypeOf, post, type Route, type Server } from './server.ts'

export const PROBE_TEXTS: readonly string[] = [
  'parity',
  'The same text by two routes must give the same vector.',
  'Ünïcödé, 向量, вектор',
]

/** A server whose form of requests is known. */
export interface Negotiated extends Pick<Probed, 'route' | 'servedModel'> {
  readonly server: Server
  /** Whether the tokens of its replies are tokens: infinity states characters. */
  readonly countsTokens: boolean
  readonly info: EndpointInfo
}

export interface Probed {
  readonly kind: 'probed'
  readonly route: Route
  readonly servedModel: string | null
  readonly dimensions: number
  readonly normalized: boolean
  readonly tokens: number | null
  /** Of the texts that were sent, in order. */
  readonly vectors: Float32Array
}

/** @throws ReembedError by the kind of failure */
export async function probeRoute(
  server: Server,
  route: Route,
  signal: AbortSignal | undefined,
): Promise<Probed> {
  const found = await tryRoute(server, route, PROBE_TEXTS, signal)
  if (found.kind !== 'probed') throw toError(found, server.url)
  return found
}

export async function tryRoute(
  server: Server,
  route: Route,
  texts: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Probed | Failure> {
  const rows = texts.map((_, i) => i)
  const found = await post(server, route, texts, signal, reply => {
    // A proxy may not know the format.
    if (server.encoding === 'bytes' && !isBytesReply(reply))
      throw new InvalidReplyError('the reply is not bytes')
    const dtype = dtypeOf(server)
    const dimensions = isBytesReply(reply) ? dimensionsOfBytes(reply, dtype) : dimensionsOf(reply.body)
    const vectors = new Float32Array(rows.length * dimensions)
    const { model, tokens } = decode(route, reply, { vectors, dimensions, rows }, dtype)
    return { kind: 'probed' as const, dimensions, vectors, tokens, servedModel: model }
  })
  if (found.kind !== 'probed') return found
  const norms = rows.map(row => normOf(found.vectors, row, found.dimensions))
  if (norms.some(norm => !(norm > 0 && norm < Infinity)))
    return { kind: 'corrupt', message: 'the vector of a test text is NaN or zero' }
  return { ...found, route, normalized: norms.every(norm => Math.abs(norm - 1) <= NORM_TOLERANCE) }
}
