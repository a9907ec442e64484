// A model server behind a URL: which wire it speaks is settled once when it is opened, then each `request` is one
// HTTP call that comes to an Outcome. Retrying, splitting and waiting are the business of ../embed.ts.

import { messageOf, ReembedError } from '@reembed/shared'
import { classify, classifyBody, classifyError, ERROR_BODY_BYTES } from './classify.ts'
import { BadReply, decodeEmbeddings, decodeNumbers, dimensionsOf, type Target } from './decode.ts'
import { type EndpointInfo, notAnEndpoint, openaiInfo, parseInfo, type StatedInfo } from './info.ts'
import { type Failure, type Outcome, toError } from './outcome.ts'
import { parseAddress } from './url.ts'
import { badRowsOf, cosine, NORM_TOLERANCE, normOf } from './vectors.ts'
import { openWire, type Reply, type Wire, WireError } from './wire.ts'

export interface EndpointOptions {
  readonly token?: string | undefined
  /** Name of the model on a server that has only OpenAI's routes. */
  readonly model?: string | undefined
  /** Exact revision of the model, for an endpoint that does not state one. */
  readonly revision?: string | undefined
  /** Whether over-long texts are cut by the server (default) or refused. */
  readonly truncate?: boolean
  /** For one whole request. */
  readonly timeoutMs?: number
  /** Sends the token over plain http to another machine. */
  readonly allowInsecure?: boolean
  /** Ends the opening; later requests take their own. */
  readonly signal?: AbortSignal | undefined
}

export interface RequestOptions {
  /** Row of `vectors` for each text; 0, 1, 2 … if not given. */
  readonly rows?: readonly number[]
  readonly signal?: AbortSignal | undefined
}

export interface Endpoint extends AsyncDisposable {
  /** For messages and logs; holds no secret. */
  readonly url: string
  readonly info: EndpointInfo
  /** What the server calls its model in every reply, if it does; another name there is `wrong_model`. */
  readonly servedModel: string | null
  /** `/v1/embeddings` with base64, or `/embed` with an explicit `truncate`. */
  readonly route: '/v1/embeddings' | '/embed'
  /**
   * One HTTP request. The vector of `texts[i]` is decoded straight to row `rows[i]` of `vectors`. Whatever endpoint
   * and network do is an Outcome; only an abort throws. Unless it is `ok`, those rows hold nothing to rely on.
   */
  request(texts: readonly string[], vectors: Float32Array, options?: RequestOptions): Promise<Outcome>
  /** The vectors of a few texts, one after another in one array, or a ReembedError. No retries. */
  embed(texts: readonly string[], options?: { signal?: AbortSignal | undefined }): Promise<Float32Array>
}

/** Two routes of one server agree when they agree this well; batching together changes the last bits. */
const PARITY = 0.9999
const PARITY_TEXTS = [
  'parity',
  'The same text by two routes must give the same vector.',
  'Ünïcödé, 向量, вектор',
]

/** Reads `/info`, settles the route, and learns dimensions and normalisation from a first embedding. */
export async function openEndpoint(url: string, options: EndpointOptions = {}): Promise<Endpoint> {
  const { token, truncate = true, timeoutMs = 60_000, allowInsecure = false, signal } = options
  const address = parseAddress(url, token, allowInsecure)
  const wire = openWire(address.origin, {
    headers: ['user-agent', 'reembed', ...(token ? ['authorization', `Bearer ${token}`] : [])],
  })
  try {
    const server: Server = { wire, ...address, model: options.model, truncate, timeoutMs }
    const stated = await readInfo(server, signal)
    const revision = revisionOf(stated, options.revision, server.url)
    const probe = await negotiate(server, stated, signal)
    return createEndpoint(server, { ...stated, revision, ...probe.learned }, probe)
  } catch (error) {
    await wire[Symbol.asyncDispose]()
    throw error
  }
}

interface Server {
  readonly wire: Wire
  readonly base: string
  readonly url: string
  readonly model: string | undefined
  readonly truncate: boolean
  readonly timeoutMs: number
}

type Route = Endpoint['route']

const OTHER_SERVER = new Set<Failure['kind']>(['route_missing', 'bad_input', 'unfit'])

async function readInfo(server: Server, signal: AbortSignal | undefined): Promise<StatedInfo> {
  const { wire, base, url, model, timeoutMs } = server
  const get = { method: 'GET', path: `${base}/info`, timeoutMs, signal } as const
  const answer = await attempt(() =>
    wire.exchange(get, reply => (reply.status === 200 ? parseInfo(reply.body.toString()) : failureOf(reply))),
  )
  if (typeof answer !== 'string' && 'modelId' in answer) return answer
  // A route that is not there and a request not understood tell what the server is; all else, how it does.
  const other = typeof answer === 'string' || answer.status === 404 || OTHER_SERVER.has(answer.kind)
  if (!other) throw toError(answer, url)
  if (model === undefined) throw notAnEndpoint(url, answer)
  return openaiInfo(model)
}

function revisionOf(
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

interface Probe {
  readonly route: Route
  readonly learned: Pick<EndpointInfo, 'dimensions' | 'normalized'>
  readonly servedModel: string | null
}

/**
 * `/v1/embeddings` costs a sixteenth of the CPU of `/embed` but cannot say `truncate`, so it is right where the
 * server's own default is what we want, and where both routes give the same vectors.
 */
async function negotiate(
  server: Server,
  stated: StatedInfo,
  signal: AbortSignal | undefined,
): Promise<Probe> {
  if (stated.kind === 'openai') return probeRoute(server, '/v1/embeddings', signal)
  if (stated.autoTruncate !== server.truncate) return probeRoute(server, '/embed', signal)
  const plain = await probeRoute(server, '/embed', signal)
  const quick = await probeRoute(server, '/v1/embeddings', signal).catch((error: unknown) => {
    if (error instanceof ReembedError && error.code === 'ENDPOINT_UNFIT') return undefined
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
): Promise<Probe & { vectors: Float32Array }> {
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

function createEndpoint(server: Server, info: EndpointInfo, { route, servedModel }: Probe): Endpoint {
  const { url, wire } = server
  const { dimensions, normalized } = info

  async function request(
    texts: readonly string[],
    vectors: Float32Array,
    { rows = texts.map((_, i) => i), signal }: RequestOptions = {},
  ): Promise<Outcome> {
    const sent = performance.now()
    const send = (): Promise<Outcome> =>
      post(server, route, texts, signal, reply => {
        const { model, tokens } = decode(route, reply, { vectors, dimensions, rows })
        if (servedModel !== null && model !== servedModel) {
          return {
            kind: 'wrong_model',
            message: `a reply came from model ${model}, the run is for ${servedModel}`,
          }
        }
        return {
          kind: 'ok',
          tokens: number(reply, 'x-compute-tokens') ?? tokens,
          queueMs: number(reply, 'x-queue-time'),
          inferenceMs: number(reply, 'x-inference-time'),
          totalMs: performance.now() - sent,
          badRows: badRowsOf(vectors, rows, dimensions, normalized),
        }
      })
    const outcome = await send()
    // A kept connection may be closed by the other side just as it is used again: once more, at once. Embedding
    // twice does no harm.
    return outcome.kind === 'reset' ? send() : outcome
  }

  return {
    url,
    info,
    servedModel,
    route,
    request,
    async embed(texts, { signal } = {}) {
      const vectors = new Float32Array(texts.length * dimensions)
      const outcome = await request(texts, vectors, { signal })
      if (outcome.kind !== 'ok') throw toError(outcome, url)
      if (outcome.badRows.length > 0) {
        throw toError({ kind: 'corrupt', message: 'a vector is not finite, zero or not normalised' }, url)
      }
      return vectors
    },
    [Symbol.asyncDispose]: () => wire[Symbol.asyncDispose](),
  }
}

/** One POST; `read` sees only replies with status 200. */
function post<T>(
  { wire, base, model, truncate, timeoutMs }: Server,
  route: Route,
  texts: readonly string[],
  signal: AbortSignal | undefined,
  read: (reply: Reply) => T,
): Promise<T | Failure> {
  const body =
    route === '/embed'
      ? JSON.stringify({ inputs: texts, truncate })
      : JSON.stringify({ input: texts, encoding_format: 'base64', model })
  const headers = ['content-type', 'application/json']
  return attempt(() =>
    wire.exchange<T | Failure>(
      { method: 'POST', path: base + route, headers, body, timeoutMs, signal },
      reply => {
        if (reply.status !== 200) return failureOf(reply)
        try {
          return read(reply)
        } catch (error) {
          if (!(error instanceof BadReply)) throw error
          const { kind, message } = classifyBody(reply.headers, start(reply))
          return kind === 'gateway' ? { kind, message } : { kind: 'corrupt', message: messageOf(error) }
        }
      },
    ),
  )
}

const decode = (
  route: Route,
  { body }: Reply,
  target: Target,
): { model: string | null; tokens: number | null } => {
  if (route === '/v1/embeddings') return decodeEmbeddings(body, target)
  decodeNumbers(body, target)
  return { model: null, tokens: null }
}

/** Turns what failed on the way into a Failure; an abort and a bug stay exceptions. */
async function attempt<T>(exchange: () => Promise<T>): Promise<T | Failure> {
  try {
    return await exchange()
  } catch (error) {
    if (error instanceof WireError) return classifyError(error.cause, error.answered)
    throw error
  }
}

const failureOf = (reply: Reply): Failure => classify(reply.status, reply.headers, start(reply))
const start = ({ body }: Reply): string => body.toString('utf8', 0, ERROR_BODY_BYTES)

/** A number from a header; TEI's times and counts come only with a 200. */
function number({ headers }: Reply, name: string): number | null {
  const value = headers[name]
  return typeof value === 'string' && /^\d+(?:\.\d+)?$/.test(value) ? Number(value) : null
}
