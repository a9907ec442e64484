// A model server behind a URL: which wire it speaks is settled once when it is opened, then each `request` is one
// HTTP call that comes to an Outcome. Retrying, splitting and waiting are the business of ../embed.ts.

import { allEqual, badRowsOf } from '@reembed/shared'
import type { EndpointInfo } from './info.ts'
import { type Negotiated, negotiate, readInfo, revisionOf } from './negotiate.ts'
import { type Outcome, toError } from './outcome.ts'
import { readAppliedPrompt } from './prompt.ts'
import { decode, post, type Route, type Server } from './server.ts'
import type { EndpointTarget, Resolve } from './targets.ts'
import { countTokens } from './tokens.ts'
import { openTransport, type Reply } from './transport.ts'
import { parseAddress } from './url.ts'

export interface EndpointOptions {
  readonly token?: string | undefined
  /** Name of the model on a server that has only OpenAI's routes. */
  readonly model?: string | undefined
  /** Exact revision of the model, for an endpoint that does not state one. */
  readonly revision?: string | undefined
  /** Whether over-long texts are cut by the server (default) or refused. */
  readonly truncate?: boolean
  /** For one whole request, at most; 60 s, and what requests say, if not given. */
  readonly timeoutMs?: number
  /** Sends the token over plain http to another machine. */
  readonly allowInsecure?: boolean
  /** Ends the opening; later requests take their own. */
  readonly signal?: AbortSignal | undefined
  /** How the name of a `dns+` URL becomes addresses; the system's way if not given. */
  readonly resolve?: Resolve | undefined
}

export interface RequestOptions {
  /** Row of `vectors` for each text; 0, 1, 2 … if not given. */
  readonly rows?: readonly number[]
  /** By `/embed` for once, where the server has it: its vectors come another way. */
  readonly otherRoute?: boolean
  /** Cuts over-long texts for once, where documents are refused: reference texts and queries have nobody to go to. */
  readonly truncate?: boolean
  /** Instead of 60 s. */
  readonly timeoutMs?: number | undefined
  /** Sent with this request alone. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly signal?: AbortSignal | undefined
}

export interface Endpoint extends AsyncDisposable {
  /** For messages and logs; holds no secret. */
  readonly url: string
  readonly info: EndpointInfo
  /** What `/v1/embeddings` calls its model in every reply, if it does; another name there is `wrong_model`. */
  readonly servedModel: string | null
  /** Replicas in use, where they are addressed one by one. */
  readonly replicas?: readonly string[]
  /** Takes a replica out of use, since a reply of it was found to be of other weights. */
  quarantine?(replica: string, reason: string): void
  /** Settled when opened; changes only if the server stops truncating by itself. */
  readonly route: Route
  /**
   * One HTTP request. The vector of `texts[i]` is decoded straight to row `rows[i]` of `vectors`. Whatever endpoint
   * and network do is an Outcome; only an abort throws. Unless it is `ok`, those rows hold nothing to rely on.
   */
  request(texts: readonly string[], vectors: Float32Array, options?: RequestOptions): Promise<Outcome>
  /** The vectors of a few texts, cut where they are too long, one after another in one array, or a ReembedError. No retries. */
  embed(texts: readonly string[], options?: { signal?: AbortSignal | undefined }): Promise<Float32Array>
  /** What the server puts in front of every text by itself; '' for nothing, null where it cannot be told. */
  appliedPrompt(options?: { signal?: AbortSignal | undefined }): Promise<string | null>
  /** Tokens of each text as the server counts them, by a route that computes nothing; null where it has none. */
  countTokens(
    texts: readonly string[],
    options?: { signal?: AbortSignal | undefined },
  ): Promise<number[] | null>
}

/** Reads `/info`, settles the route, and learns dimensions and normalisation from a first embedding. */
export async function openTarget(
  { url, address, label }: EndpointTarget,
  options: EndpointOptions,
): Promise<Endpoint> {
  const { token, truncate = true, timeoutMs = 60_000, allowInsecure = false, signal } = options
  const parsed = parseAddress(url, token, allowInsecure)
  const transport = openTransport(parsed.origin, {
    headers: ['user-agent', 'reembed', ...(token ? ['authorization', `Bearer ${token}`] : [])],
    address,
  })
  try {
    const server: Server = {
      transport,
      ...parsed,
      url: label,
      model: options.model,
      truncate,
      timeoutMs,
    }
    const stated = await readInfo(server, signal)
    const revision = revisionOf(stated, options.revision, server.url)
    const probe = await negotiate(server, stated, signal)
    return createEndpoint(server, { ...stated, revision, ...probe.learned }, probe, options.timeoutMs)
  } catch (error) {
    await transport[Symbol.asyncDispose]()
    throw error
  }
}

function createEndpoint(
  server: Server,
  info: EndpointInfo,
  probe: Negotiated,
  maxTimeoutMs = Number.POSITIVE_INFINITY,
): Endpoint {
  const { url, transport, truncate } = server
  const { servedModel } = probe
  let { route } = probe
  const { dimensions, normalized } = info

  async function request(
    texts: readonly string[],
    vectors: Float32Array,
    {
      rows = texts.map((_, i) => i),
      otherRoute = false,
      truncate: cut = truncate,
      timeoutMs = server.timeoutMs,
      headers,
      signal,
    }: RequestOptions = {},
  ): Promise<Outcome> {
    const sent = performance.now()
    const send = (by: Route): Promise<Outcome> =>
      post(
        { ...server, truncate: cut, headers, timeoutMs: Math.min(timeoutMs, maxTimeoutMs) },
        by,
        texts,
        signal,
        reply => {
          const { model, tokens } = decode(by, reply, { vectors, dimensions, rows })
          if (by === '/v1/embeddings' && servedModel !== null && model !== servedModel) {
            return {
              kind: 'wrong_model',
              message: `a reply came from model ${model}, the run is for ${servedModel}`,
            }
          }
          if (texts.length >= COLLAPSED_TEXTS && allEqual(vectors, rows, dimensions) && areDifferent(texts)) {
            return { kind: 'corrupt', message: `one and the same vector for ${texts.length} different texts` }
          }
          return {
            kind: 'ok',
            tokens: number(reply, 'x-compute-tokens') ?? tokens,
            queueMs: number(reply, 'x-queue-time'),
            inferenceMs: number(reply, 'x-inference-time'),
            totalMs: performance.now() - sent,
            badRows: badRowsOf(vectors, rows, dimensions, normalized),
          }
        },
      )
    const first = (otherRoute || cut !== truncate) && info.kind === 'tei' ? '/embed' : route
    const outcome = await send(first)
    // A kept connection may be closed by the other side just as it is used again: once more, at once. Embedding
    // twice does no harm.
    if (outcome.kind === 'reset') return send(first)
    // The server was started again without auto-truncate, so from now on it has to be told.
    if (outcome.kind === 'too_long' && truncate && info.kind === 'tei' && route !== '/embed') {
      route = '/embed'
      return send(route)
    }
    return outcome
  }

  return {
    url,
    info,
    servedModel,
    get route() {
      return route
    },
    request,
    embed: (texts, { signal } = {}) => embedBy(request, texts, { url, dimensions, signal }),
    appliedPrompt: async ({ signal } = {}) =>
      info.kind === 'tei' ? readAppliedPrompt(server, signal) : null,
    countTokens: async (texts, { signal } = {}) =>
      info.kind === 'tei' ? countTokens(server, texts, info.maxClientBatchSize, signal) : null,
    [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
  }
}

/** So many different texts with one vector are a broken model; fewer may begin with the same page. */
const COLLAPSED_TEXTS = 16
const areDifferent = (texts: readonly string[]): boolean => new Set(texts).size === texts.length

/** What `Endpoint.embed` promises, by its `request`. */
export async function embedBy(
  request: Endpoint['request'],
  texts: readonly string[],
  { url, dimensions, signal }: { url: string; dimensions: number; signal: AbortSignal | undefined },
): Promise<Float32Array> {
  const vectors = new Float32Array(texts.length * dimensions)
  const outcome = await request(texts, vectors, { truncate: true, signal })
  if (outcome.kind !== 'ok') throw toError(outcome, url)
  if (outcome.badRows.length > 0) {
    throw toError({ kind: 'corrupt', message: 'a vector is not finite, zero or not normalised' }, url)
  }
  return vectors
}

/** A number from a header; TEI's times and counts come only with a 200. */
function number({ headers }: Reply, name: string): number | null {
  const value = headers[name]
  return typeof value === 'string' && /^\d+(?:\.\d+)?$/.test(value) ? Number(value) : null
}
