// What is settled once per endpoint, before the first document: what it is, which route to use, how long its
// vectors are and whether it normalises them.

import { cosine, NORM_TOLERANCE, normOf, ReembedError } from '@reembed/shared'
import { dimensionsOf } from './decode.ts'
import { type EndpointInfo, notAnEndpoint, openaiInfo, parseInfo, type StatedInfo } from './info.ts'
import { type Failure, toError } from './outcome.ts'
import { attempt, decode, failureOf, post, type Route, type Server } from './server.ts'

/** Two routes of one server agree when they agree this well; batching together changes the last bits. */
const PARITY = 0.9999
const PARITY_TEXTS = [
  'parity',
  'The same text by two routes must give the same vector.',
  'Ünïcödé, 向量, вектор',
]

const OTHER_SERVER = new Set<Failure['kind']>(['route_missing', 'bad_input', 'unsupported'])

/** `GET /info`, or what to assume where only OpenAI's routes are there. */
export async function readInfo(server: Server, signal: AbortSignal | undefined): Promise<StatedInfo> {
  const { transport, basePath, url, model, timeoutMs } = server
  const get = { method: 'GET', path: `${basePath}/info`, timeoutMs, signal } as const
  const answer = await attempt(() =>
    transport.exchange(get, reply =>
      reply.status === 200 ? parseInfo(reply.body.toString()) : failureOf(reply),
    ),
  )
  if (typeof answer !== 'string' && 'modelId' in answer) return answer
  // A route that is not there and a request not understood tell what the server is; all else, how it does.
  const other =
    typeof answer === 'string' ||
    answer.status === 404 ||
    (answer.status !== undefined && OTHER_SERVER.has(answer.kind))
  if (!other) throw toError(answer, url)
  if (model === undefined) throw notAnEndpoint(url, answer)
  return openaiInfo(model)
}

/** The revision stated by the endpoint or given by the user, who must not contradict it. */
export function revisionOf(
  { modelId, revision }: StatedInfo,
  given: string | undefined,
  url: string,
): string | null {
  if (given !== undefined && revision !== null && given !== revision) {
    throw new ReembedError(
      'MODEL_MISMATCH',
      `expected revision ${given} of the model, but the endpoint ${url} serves ${modelId}@${revision}`,
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
 * `/v1/embeddings` costs a sixteenth of the CPU of `/embed` but cannot say `truncate`, so it is right where the
 * server's own default is what we want, and where both routes give the same vectors.
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
    throw toError(
      { kind: 'corrupt', message: 'a first text was answered with a vector of NaN or zeros' },
      server.url,
    )
  }
  const normalized = norms.every(norm => Math.abs(norm - 1) <= NORM_TOLERANCE)
  return { route, learned: { dimensions, normalized }, servedModel, vectors }
}
