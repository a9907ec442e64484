// Determined once per endpoint, before the first document: the kind of server, the route, the
// dimensions and whether vectors are normalised.

import { cosine, NORM_TOLERANCE, normOf, ReembedError } from '@reembed/shared'
import { dimensionsOf } from './decode.ts'
import { type EndpointInfo, notAnEndpoint, openaiInfo, parseInfo, type StatedInfo } from './info.ts'
import { type Failure, toError } from './outcome.ts'
import { attempt, decode, failureOf, post, type Route, type Server } from './server.ts'

/** Minimum cosine between the two routes of one server; batching changes the last bits. */
const PARITY = 0.9999
const PARITY_TEXTS = [
  'parity',
  'The same text by two routes must give the same vector.',
  'Ünïcödé, 向量, вектор',
]

const OTHER_SERVER = new Set<Failure['kind']>(['route_missing', 'bad_input', 'unsupported'])

/** Reads `GET /info`; assumes defaults where the server has only OpenAI's routes. */
export async function readInfo(server: Server, signal: AbortSignal | undefined): Promise<StatedInfo> {
  const { transport, basePath, url, model, timeoutMs } = server
  const get = { method: 'GET', path: `${basePath}/info`, timeoutMs, signal } as const
  const answer = await attempt(() =>
    transport.exchange(get, reply =>
      reply.status === 200 ? parseInfo(reply.body.toString()) : failureOf(reply),
    ),
  )
  if (typeof answer !== 'string' && 'modelId' in answer) return answer
  // A missing route or a request that is not understood shows another kind of server; other
  // failures are states of it.
  const other =
    typeof answer === 'string' ||
    answer.status === 404 ||
    (answer.status !== undefined && OTHER_SERVER.has(answer.kind))
  if (!other) throw toError(answer, url)
  if (model === undefined) throw notAnEndpoint(url, answer)
  return openaiInfo(model)
}

/**
 * The revision that the endpoint states or that is given. @throws ReembedError MODEL_MISMATCH where
 * both differ
 */
export function revisionOf(
  { modelId, revision }: StatedInfo,
  given: string | undefined,
  url: string,
): string | null {
  if (given !== undefined && revision !== null && given !== revision) {
    throw new ReembedError(
      'MODEL_MISMATCH',
      `expected revision ${given} of the model, but the endpoint ${url} serves ${modelId}@${revision}: correct the revision, or deploy that one`,
    )
  }
  return revision ?? given ?? null
}

export interface Negotiated {
  readonly route: Route
  readonly learned: Pick<EndpointInfo, 'dimensions' | 'normalized'>
  readonly servedModel: string | null
}

/**
 * Chooses the route. `/v1/embeddings` costs a sixteenth of the client CPU of `/embed` but has no
 * `truncate`, so it is used where the server's default is the wanted one and both routes return the
 * same vectors.
 */
export async function negotiate(
  server: Server,
  stated: StatedInfo,
  signal: AbortSignal | undefined,
): Promise<Negotiated> {
  if (stated.kind === 'openai') return probeRoute(server, '/v1/embeddings', signal)
  if (stated.autoTruncate !== server.truncate) return probeRoute(server, '/embed', signal)
  const plain = await probeRoute(server, '/embed', signal)
  const quick = await probeRoute(server, '/v1/embeddings', signal).catch((error: unknown) => {
    if (error instanceof ReembedError && error.code === 'ENDPOINT_UNSUPPORTED') return undefined
    throw error
  })
  return quick && agree(quick.vectors, plain.vectors, plain.learned.dimensions) ? quick : plain
}

function agree(a: Float32Array, b: Float32Array, dimensions: number): boolean {
  return (
    a.length === b.length &&
    PARITY_TEXTS.every((_, i) => {
      const [from, to] = [i * dimensions, (i + 1) * dimensions]
      return cosine(a.subarray(from, to), b.subarray(from, to)) >= PARITY
    })
  )
}

async function probeRoute(
  server: Server,
  route: Route,
  signal: AbortSignal | undefined,
): Promise<Negotiated & { vectors: Float32Array }> {
  const rows = PARITY_TEXTS.map((_, i) => i)
  const found = await post(server, route, PARITY_TEXTS, signal, reply => {
    const dimensions = dimensionsOf(reply.body)
    const vectors = new Float32Array(rows.length * dimensions)
    const { model } = decode(route, reply, { vectors, dimensions, rows })
    return { kind: 'probed' as const, dimensions, vectors, servedModel: model }
  })
  if (found.kind !== 'probed') throw toError(found, server.url)
  const { dimensions, vectors, servedModel } = found
  const norms = rows.map(row => normOf(vectors, row, dimensions))
  if (norms.some(norm => !(norm > 0 && norm < Infinity))) {
    throw toError({ kind: 'corrupt', message: 'the vector of a test text is NaN or zero' }, server.url)
  }
  const normalized = norms.every(norm => Math.abs(norm - 1) <= NORM_TOLERANCE)
  return { route, learned: { dimensions, normalized }, servedModel, vectors }
}
