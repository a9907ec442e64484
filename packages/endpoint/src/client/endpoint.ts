// A model server at one URL. Opening it determines protocol and route; then each `request` is one
// HTTP call with an Outcome. Retrying, splitting and waiting are left to the caller.

import { badRowsOf, collapsedTexts, createTimeLimit, deadlines, seconds, startWait } from '@reembed/shared'
import { openAuthorised } from './authorisation.ts'
import { tokenCount } from './decode.ts'
import { isRefusal } from './failure-kinds.ts'
import type { EndpointInfo, EndpointLimits } from './info.ts'
import { negotiate } from './negotiate.ts'
import { type Outcome, toError } from './outcome.ts'
import { readAppliedPrompt } from './prompt.ts'
import { readInfo, revisionOf } from './read-info.ts'
import type { Negotiated } from './route-probe.ts'
import { decode, dtypeOf, post, type Route, type Server } from './server.ts'
import type { EndpointTarget, Resolve } from './targets.ts'
import { countTokens } from './tokens.ts'
import { openTransport, type Reply, type Transport } from './transport.ts'
import { parseAddress } from './url.ts'

export interface EndpointOptions {
  /** Bearer token of the endpoint. */
  readonly token?: string | undefined
  /** Name of the model, for a server that has only OpenAI's routes. */
  readonly model?: string | undefined
  /** Revision of the model, for an endpoint that states none. */
  readonly revision?: string | undefined
  /** Limits that a server with OpenAI's route alone has and does not state; lower ones count. */
  readonly limits?: EndpointLimits | undefined
  /** Whether the server truncates long texts (default) or refuses them. */
  readonly truncate?: boolean
  /**
   * Upper limit for one whole request in milliseconds; that of `deadlines`, or the limit of the
   * request, if not given.
   */
  readonly timeoutMs?: number
  /** Allows sending the token over plain HTTP to another machine. */
  readonly allowInsecure?: boolean
  /** Aborts the opening; each later request has its own signal. */
  readonly signal?: AbortSignal | undefined
  /** Resolves the name of a `dns+` URL to addresses; the system's resolver if not given. */
  readonly resolve?: Resolve | undefined
}

export interface RequestOptions {
  /** Row of `vectors` for each text; 0, 1, 2 … if not given. */
  readonly rows?: readonly number[]
  /** Index of a text that is not compared with the others when their vectors are. */
  readonly canary?: number | undefined
  /**
   * Sends this request to `/embed`, where the server has it: its vectors are encoded in another
   * way.
   */
  readonly otherRoute?: boolean
  /**
   * Overrides the endpoint's `truncate`: reference texts and queries must not fail where long
   * documents do.
   */
  readonly truncate?: boolean
  /**
   * Whether vectors rounded to float16 suffice. A server that offers them sends half the bytes; the
   * others send float32.
   */
  readonly halfPrecision?: boolean | undefined
  /** Timeout of the whole request; that of `deadlines` if not given. */
  readonly timeoutMs?: number | undefined
  /** Sent with this request alone. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly signal?: AbortSignal | undefined
}

export interface Endpoint extends AsyncDisposable {
  /** URL without secrets, for messages and logs. */
  readonly url: string
  /** The limit of tokens is lowered where a refusal states it. */
  readonly info: EndpointInfo
  /**
   * The model's name in each reply of `/v1/embeddings`; null if replies contain none. Another name
   * is `wrong_model`.
   */
  readonly servedModel: string | null
  /** Labels of the replicas in use, where they are addressed individually. */
  readonly replicas?: readonly string[]
  /** Takes a replica out of use after a reply with other weights. */
  quarantine?(replica: string, reason: string): void
  /** Determined when opened; changes only if the server stops truncating by default. */
  readonly route: Route
  /**
   * Sends one HTTP request and decodes the vector of `texts[i]` into row `rows[i]` of `vectors`.
   * Each failure of endpoint and network is an Outcome; only an abort throws. Unless the outcome is
   * `ok`, those rows are undefined.
   */
  request(texts: readonly string[], vectors: Float32Array, options?: RequestOptions): Promise<Outcome>
  /**
   * Embeds a few texts, long ones truncated, in one request or, where the server refuses that, in
   * halves of it. Resolves with their vectors, concatenated; no retries.
   * @throws ReembedError by the kind of failure
   */
  embed(texts: readonly string[], options?: { signal?: AbortSignal | undefined }): Promise<Float32Array>
  /**
   * `info`, with what the server states now: it may have been started again with another model.
   * @throws ReembedError by the kind of failure
   */
  restate(): Promise<EndpointInfo>
  /** The server's default prompt; '' for none, null where it cannot be determined. */
  appliedPrompt(options?: { signal?: AbortSignal | undefined }): Promise<string | null>
  /**
   * Tokens of each text by the server's tokenizer route, which runs no model; null where it has
   * none.
   */
  countTokens(
    texts: readonly string[],
    options?: { signal?: AbortSignal | undefined },
  ): Promise<number[] | null>
}

/**
 * Opens one URL or replica: reads `/info`, chooses the route, and derives dimensions and
 * normalisation from a test request. @throws ReembedError USAGE for an invalid URL, else by the
 * kind of failure
 */
export async function openTarget(
  { url, address, label }: EndpointTarget,
  options: EndpointOptions,
  openMs: number = Number.POSITIVE_INFINITY,
): Promise<Endpoint> {
  const { token, truncate = true, allowInsecure = false, signal } = options
  const { timeoutMs = deadlines().endpoint.callMs } = options
  const parsed = parseAddress(url, token, allowInsecure)
  const transport = openTransport(parsed.origin, { headers: ['user-agent', 'reembed'], address })
  const open = async (authorised: Transport): Promise<Endpoint> => {
    const server: Server = {
      transport: authorised,
      basePath: parsed.basePath,
      embeddingsPath: parsed.embeddingsPath,
      encoding: 'base64',
      url: label,
      model: options.model,
      truncate,
      timeoutMs,
    }
    const found = await negotiate(server, options.limits, limit.signal)
    const revision = revisionOf(found.info, options.revision, label)
    return createEndpoint({ ...found, info: { ...found.info, revision } }, options.timeoutMs)
  }
  using wait = startWait(nameOf(label))
  // One limit for all requests of the opening, with each form of authorisation.
  const limitMs = Math.max(1, Math.min(timeoutMs, openMs))
  using limit = createTimeLimit(signal)
  limit.begin(limitMs)
  try {
    const endpoint = await openAuthorised(transport, token, open)
    wait.answered()
    return endpoint
  } catch (error) {
    await transport[Symbol.asyncDispose]()
    if (!limit.isOver) throw error
    throw toError({ kind: 'timeout', message: `no complete reply within ${seconds(limitMs)} s` }, label)
  }
}

const nameOf = (url: string): string => `the endpoint ${url}`

function createEndpoint(found: Negotiated, maxTimeoutMs = Number.POSITIVE_INFINITY): Endpoint {
  const { server, servedModel, countsTokens } = found
  let { info } = found
  const { url, transport, truncate } = server
  let { route } = found
  const { dimensions, normalized } = info

  async function request(
    texts: readonly string[],
    vectors: Float32Array,
    {
      rows = texts.map((_, i) => i),
      canary,
      otherRoute = false,
      truncate: cut = truncate,
      halfPrecision = false,
      timeoutMs = server.timeoutMs,
      headers,
      signal,
    }: RequestOptions = {},
  ): Promise<Outcome> {
    const sent = performance.now()
    const send = (by: Route): Promise<Outcome> =>
      post(
        { ...server, truncate: cut, halfPrecision, headers, timeoutMs: Math.min(timeoutMs, maxTimeoutMs) },
        by,
        texts,
        signal,
        reply => {
          const { model, tokens } = decode(
            by,
            reply,
            { vectors, dimensions, rows },
            dtypeOf({ halfPrecision }),
          )
          if (by === '/v1/embeddings' && servedModel !== null && model !== servedModel) {
            return {
              kind: 'wrong_model',
              message: `a reply names model ${model}, but the run requires ${servedModel}`,
            }
          }
          const collapsed = collapsedTexts({ texts, rows, canary }, vectors, info)
          if (collapsed > 0)
            return { kind: 'collapsed', message: `the same vector for ${collapsed} different texts` }
          return {
            kind: 'ok',
            tokens: tokenCount(number(reply, 'x-compute-tokens')) ?? (countsTokens ? tokens : null),
            textTokens: numbers(reply, TEXT_TOKENS_HEADER, texts.length),
            queueMs: number(reply, 'x-queue-time'),
            inferenceMs: number(reply, 'x-inference-time'),
            totalMs: performance.now() - sent,
            badRows: badRowsOf(vectors, rows, dimensions, normalized),
          }
        },
      )
    const first = (otherRoute || cut !== truncate) && info.kind === 'tei' ? '/embed' : route
    const outcome = await send(first)
    // The server may close a keep-alive connection while the client reuses it (a race of HTTP/1.1),
    // so the request is sent again immediately. Embedding is idempotent.
    if (outcome.kind === 'reset') return send(first)
    if (outcome.kind === 'too_long' && outcome.limit !== undefined && info.kind === 'openai')
      info = { ...info, maxInputLength: Math.min(outcome.limit, info.maxInputLength ?? outcome.limit) }
    // The server was restarted without auto-truncate, so each further request must state it.
    if (outcome.kind === 'too_long' && truncate && info.kind === 'tei' && route !== '/embed') {
      route = '/embed'
      return send(route)
    }
    return outcome
  }

  /** Null also where the endpoint does not answer. */
  async function askTei<T>(ask: () => Promise<T | null>): Promise<T | null> {
    if (info.kind !== 'tei') return null
    using wait = startWait(nameOf(url))
    const answer = await ask()
    if (answer !== null) wait.answered()
    return answer
  }

  return {
    url,
    get info() {
      return info
    },
    servedModel,
    get route() {
      return route
    },
    request,
    embed: (texts, { signal } = {}) => embedBy(request, texts, { url, dimensions, signal }),
    async restate() {
      const { stated, doubt } = await readInfo(server, undefined)
      if (doubt && info.kind === 'tei') throw toError(doubt, url)
      return { ...info, ...stated, revision: stated.revision ?? info.revision }
    },
    appliedPrompt: ({ signal } = {}) => askTei(() => readAppliedPrompt(server, signal)),
    countTokens: (texts, { signal } = {}) =>
      askTei(() => countTokens(server, texts, info.maxClientBatchSize, signal)),
    [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
  }
}

/** Implements `Endpoint.embed` by `request`. A request that is refused is halved. */
export async function embedBy(
  request: Endpoint['request'],
  texts: readonly string[],
  { url, dimensions, signal }: { url: string; dimensions: number; signal: AbortSignal | undefined },
): Promise<Float32Array> {
  const vectors = new Float32Array(texts.length * dimensions)
  using wait = startWait(nameOf(url))
  const embedRange = async (from: number, to: number): Promise<void> => {
    const rows = Array.from({ length: to - from }, (_, i) => from + i)
    const outcome = await request(texts.slice(from, to), vectors, { rows, truncate: true, signal })
    if (outcome.kind !== 'ok') {
      if (rows.length < 2 || !isRefusal(outcome)) throw toError(outcome, url)
      const half = from + Math.ceil(rows.length / 2)
      await embedRange(from, half)
      return embedRange(half, to)
    }
    if (outcome.badRows.length > 0)
      throw toError({ kind: 'corrupt', message: 'a vector is zero, not finite or not normalised' }, url)
  }
  await embedRange(0, texts.length)
  wait.answered()
  return vectors
}

/**
 * Header with the tokens of each text before truncation, by which the local server states them. TEI
 * and OpenAI state only what the model read.
 */
const TEXT_TOKENS_HEADER = 'x-text-tokens'

/** The numbers in a header, '12,700,3'; undefined unless there are `length`. */
function numbers({ headers }: Reply, name: string, length: number): number[] | undefined {
  const value = headers[name]
  if (typeof value !== 'string' || !/^\d+(,\d+)*$/.test(value)) return undefined
  const found = value.split(',').map(Number)
  return found.length === length ? found : undefined
}

/** A number in a header; TEI sends times and counts only with a 200. */
function number({ headers }: Reply, name: string): number | null {
  const value = headers[name]
  if (typeof value !== 'string' || !/^\d+(?:\.\d+)?$/.test(value)) return null
  // 400 digits match, and are Infinity.
  return Number.isFinite(Number(value)) ? Number(value) : null
}
