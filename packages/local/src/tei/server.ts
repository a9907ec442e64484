// The HTTP interface of Text Embeddings Inference for embedding models: routes, statuses, bodies
// and headers (router/src/http/server.rs at 0d124dc, and the differences of 1.8.3). Any Engine can
// serve.

import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { type Clock, systemClock } from '@reembed/shared'
import { readJson } from './body.ts'
import type { Engine } from './engine.ts'
import { HttpRejection, statusOf, TeiError } from './errors.ts'
import { type Settings, settingsOf, type TeiFlags } from './flags.ts'
import { createInferenceService, type EmbedResult, type InferenceService } from './infer.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { embeddingsJson, infoJson, openAiJson } from './replies.ts'
import {
  parseDecodeRequest,
  parseEmbedRequest,
  parseOpenAiRequest,
  parseTokenizeRequest,
} from './requests.ts'

export interface TeiServer extends AsyncDisposable {
  /** For example `http://127.0.0.1:40123`, without a trailing slash. */
  readonly url: string
  /**
   * Ends as a crashed process does: resets every connection, including those of active requests.
   */
  abort(): Promise<void>
}

/** A request of an embedding route. */
export interface ReceivedRequest {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** The inputs as sent: texts, or lists of token ids. */
  readonly inputs: readonly unknown[]
}

export interface ServeTeiOptions extends TeiFlags {
  /** Not disposed with the server: the caller must dispose it. */
  readonly engine: Engine
  /** Default: the system clock. */
  readonly clock?: Clock | undefined
  /**
   * Called for each request of an embedding route. May replace the reply or the way it is written.
   */
  readonly intercept?: ((request: ReceivedRequest) => ReplyOverride | undefined) | undefined
  /** Called for each embedding request that was answered with vectors. */
  readonly onEmbedded?: ((inputs: number, tokens: number) => void) | undefined
}

export interface ReplyOverride {
  /** Replaces the reply of the server, which then computes nothing. */
  readonly reply?: Reply
  /** Replaces the function that writes the reply. */
  readonly write?: (response: ServerResponse, reply: Reply) => void
}

/**
 * Serves `engine` over HTTP. Disposing the server refuses new connections and resolves when the
 * requests in flight are answered.
 * @throws ReembedError USAGE if the flags are invalid
 * @example
 * ```ts
 * import { createHashEngine, serveTei } from '@reembed/local'
 *
 * await using server = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
 * const reply = await fetch(`${server.url}/info`)
 * console.log(await reply.json())
 * ```
 */
export async function serveTei({
  engine,
  hostname = '127.0.0.1',
  port = 0,
  clock = systemClock,
  intercept,
  onEmbedded,
  ...flags
}: ServeTeiOptions): Promise<TeiServer> {
  const settings = settingsOf(flags, engine.model, engine.maxBatchRequests)
  const metrics = createMetrics(settings.maxInputLength)
  const infer = createInferenceService(engine, settings, metrics, clock)
  const routes = routesOf({ engine, settings, metrics, infer, clock, onEmbedded })
  let ending = false

  const server = createServer(async (request, response) => {
    const disconnected = new AbortController()
    response.on('close', () => disconnected.abort())
    let write = writeReply
    const reply = await answer(request, disconnected.signal, routes, settings, metrics, body => {
      const interference = intercept?.(receivedRequestOf(request, body))
      write = interference?.write ?? writeReply
      return interference?.reply
    })
    if (ending) response.setHeader('connection', 'close')
    write(response, reply)
  })
  const sockets = new Set<Socket>()
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  // hyper, the server library of TEI, does not close idle or slow connections.
  server.keepAliveTimeout = 0
  server.requestTimeout = 0
  server.listen(port, hostname)
  await once(server, 'listening')

  const { port: bound } = server.address() as AddressInfo
  return {
    url: `http://${hostname.includes(':') ? `[${hostname}]` : hostname}:${bound}`,
    async abort() {
      const closed = ending ? undefined : once(server, 'close')
      ending = true
      server.close()
      for (const socket of sockets) socket.resetAndDestroy()
      await closed
    },
    async [Symbol.asyncDispose]() {
      if (ending) return
      ending = true
      const closed = once(server, 'close')
      server.close()
      server.closeIdleConnections()
      await closed
    },
  }
}

interface Route {
  readonly method: 'GET' | 'POST'
  /** The health and metrics routes require no key, because probes have none. */
  readonly open?: true
  readonly embeds?: true
  /** Format of error bodies. Default: the format of TEI. */
  readonly errors?: 'openai'
  readonly handle: (call: Call) => Promise<Reply> | Reply
}

interface Call {
  /** The parsed body of a POST. */
  readonly body: unknown
  /** Aborted when the client disconnects before the reply. */
  readonly signal: AbortSignal
}

/** A reply with a JSON body, a plain text body, or no body. The default status is 200. */
export interface Reply {
  readonly status?: number
  readonly json?: string
  readonly text?: string
  readonly headers?: Readonly<Record<string, string | number>>
}

interface ServerContext {
  readonly engine: Engine
  readonly settings: Settings
  readonly metrics: Metrics
  readonly infer: InferenceService
  readonly clock: Clock
  readonly onEmbedded: ServeTeiOptions['onEmbedded']
}

function routesOf({
  engine,
  settings,
  metrics,
  infer,
  clock,
  onEmbedded,
}: ServerContext): Map<string, Route[]> {
  const measured = async (
    batch: boolean,
    run: () => Promise<EmbedResult>,
    json: (embedded: EmbedResult) => string,
  ): Promise<Reply> => {
    const startedAt = clock.now()
    const method = batch ? 'batch' : 'single'
    metrics.count('te_request_count', { method })
    const embedded = await run()
    metrics.count('te_request_success', { method })
    const totalMs = clock.now() - startedAt
    onEmbedded?.(embedded.vectors.length, embedded.tokens)
    metrics.observe('te_request_duration', totalMs / 1000)
    metrics.observe('te_request_tokenization_duration', embedded.tokenizationMs / 1000)
    metrics.observe('te_request_queue_duration', embedded.queueMs / 1000)
    metrics.observe('te_request_inference_duration', embedded.inferenceMs / 1000)
    return {
      json: json(embedded),
      headers: { ...computeHeaders(embedded, totalMs), ...textTokens(embedded, settings) },
    }
  }
  const embed: Route = {
    method: 'POST',
    embeds: true,
    handle({ body, signal }) {
      const request = parseEmbedRequest(body)
      return measured(request.batch, () => infer.embed(request, signal), embeddingsJson)
    },
  }
  const openAi: Route = {
    method: 'POST',
    embeds: true,
    errors: 'openai',
    handle({ body, signal }) {
      const { encodingFormat, ...request } = parseOpenAiRequest(body)
      const embedRequest = {
        ...request,
        truncate: undefined,
        truncationDirection: 'right',
        promptName: undefined,
        normalize: true,
      } as const
      return measured(
        request.batch,
        () => infer.embed(embedRequest, signal),
        embedded => openAiJson(embedded, encodingFormat, settings.servedModelName),
      )
    },
  }
  const tokenize: Route = {
    method: 'POST',
    handle: ({ body }) => ({ json: JSON.stringify(infer.tokenize(parseTokenizeRequest(body))) }),
  }
  const decode: Route = {
    method: 'POST',
    handle({ body }) {
      const { ids, skipSpecialTokens } = parseDecodeRequest(body)
      return { json: JSON.stringify(infer.decode(ids, skipSpecialTokens)) }
    },
  }
  const info: Route = { method: 'GET', handle: () => ({ json: infoJson(engine.model, settings) }) }
  const health: Route = { method: 'GET', open: true, handle: () => healthOf(engine) }
  const prometheus: Route = {
    method: 'GET',
    open: true,
    handle: () => ({ text: metrics.render() }),
  }
  return new Map([
    ['/', [health, embed]],
    ['/embed', [embed]],
    ['/invocations', [embed]],
    ['/embeddings', [openAi]],
    ['/v1/embeddings', [openAi]],
    ['/tokenize', [tokenize]],
    ['/decode', [decode]],
    ['/info', [info]],
    ['/health', [health]],
    ['/ping', [health]],
    ['/metrics', [prometheus]],
  ])
}

/** Never throws: every error becomes a reply. */
async function answer(
  request: IncomingMessage,
  signal: AbortSignal,
  routes: Map<string, Route[]>,
  { apiKey, payloadLimit, version }: Settings,
  metrics: Metrics,
  interfere: (body: unknown) => Reply | undefined,
): Promise<Reply> {
  const here = routes.get((request.url ?? '/').split('?', 1)[0] ?? '/')
  if (here === undefined) return { status: 404 }
  const method = request.method === 'HEAD' ? 'GET' : request.method
  const route = here.find(candidate => candidate.method === method)
  const isOpen = (route ?? here[0])?.open
  if (apiKey !== undefined && !isOpen && request.headers.authorization !== `Bearer ${apiKey}`) {
    return { status: 401 }
  }
  if (route === undefined) return { status: 405, headers: { allow: here.map(each => each.method).join(',') } }

  try {
    const body = route.method === 'POST' ? await readJson(request, payloadLimit) : undefined
    const other = route.embeds && interfere(body)
    return other || (await route.handle({ body, signal }))
  } catch (error) {
    if (error instanceof HttpRejection) {
      // The 413 is sent before the whole body is read, so the connection cannot be reused.
      const headers = error.status === 413 ? { connection: 'close' } : {}
      return { status: error.status, text: error.message, headers }
    }
    const failure =
      error instanceof TeiError ? error : new TeiError('Backend', `Backend error: ${error}`, 'inference')
    // TEI does not count requests whose client disconnected.
    if (!signal.aborted && !request.errored) metrics.count('te_request_failure', { err: failure.kind })
    const status = statusOf(failure.type, version)
    return { status, json: errorJson(failure, status, route.errors) }
  }
}

function receivedRequestOf({ url = '', headers }: IncomingMessage, body: unknown): ReceivedRequest {
  const { inputs, input = inputs } = Object(body)
  return { path: url, headers, inputs: Array.isArray(input) ? input : [input] }
}

async function healthOf({ isHealthy }: Engine): Promise<Reply> {
  if (isHealthy === undefined || (await isHealthy())) return {}
  return { status: 503, json: '{"error":"unhealthy","error_type":"Unhealthy"}' }
}

/** Writes a reply with its content type and length. */
export function writeReply(response: ServerResponse, { status = 200, json, text, headers }: Reply): void {
  const body = json ?? text ?? ''
  const type = json !== undefined ? 'application/json' : 'text/plain; charset=utf-8'
  response
    .writeHead(status, {
      ...(body === '' ? {} : { 'content-type': type }),
      'content-length': Buffer.byteLength(body),
      ...headers,
    })
    .end(body)
}

function errorJson({ type, message }: TeiError, code: number, shape: 'openai' | undefined): string {
  return JSON.stringify(shape === 'openai' ? { message, code, type } : { error: message, error_type: type })
}

/** Clients limit the size of all headers, Node to 16 KiB. */
const MAX_TEXT_TOKENS = 1_000

const textTokens = ({ wholeTokens }: EmbedResult, settings: Settings): Record<string, string> =>
  settings.textTokens && wholeTokens.length <= MAX_TEXT_TOKENS
    ? { 'x-text-tokens': wholeTokens.join(',') }
    : {}

/** Times in whole milliseconds; router/src/lib.rs, `From<ResponseMetadata> for HeaderMap`. */
function computeHeaders(embedded: EmbedResult, totalMs: number): Record<string, string | number> {
  return {
    // A constant in TEI, also on CPU.
    'x-compute-type': 'gpu+optimized',
    'x-compute-time': Math.floor(totalMs),
    'x-compute-characters': embedded.characters,
    'x-compute-tokens': embedded.tokens,
    'x-total-time': Math.floor(totalMs),
    'x-tokenization-time': Math.floor(embedded.tokenizationMs),
    'x-queue-time': Math.floor(embedded.queueMs),
    'x-inference-time': Math.floor(embedded.inferenceMs),
  }
}
