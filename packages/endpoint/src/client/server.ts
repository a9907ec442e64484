// POSTs texts to one server by one of its routes. It knows routes and bodies, not dimensions.

import { messageOf } from '@reembed/shared'
import { classify, classifyBody, classifyError, ERROR_BODY_BYTES } from './classify.ts'
import {
  decodeEmbeddings,
  decodeNumbers,
  InvalidReplyError,
  type ReplyMetadata,
  type VectorDestination,
} from './decode.ts'
import { decodeBytes, isBytesReply, type ReplyDtype } from './decode-bytes.ts'
import type { Failure } from './outcome.ts'
import { type Reply, type Transport, TransportError } from './transport.ts'

/**
 * `/v1/embeddings`, or its equivalent of another server; or `/embed` with an explicit `truncate`.
 */
export type Route = '/v1/embeddings' | '/embed'

/** The value of `encoding_format`; undefined: the field is not sent, as some servers refuse it. */
export type Encoding = 'bytes' | 'base64' | 'float' | undefined

export interface Server {
  readonly transport: Transport
  readonly basePath: string
  readonly url: string
  /** Path and query of the route `/v1/embeddings`. */
  readonly embeddingsPath: string
  readonly encoding: Encoding
  /** Whether vectors of half precision suffice; only replies of bytes can have them. */
  readonly halfPrecision?: boolean | undefined
  /** Name of the model in requests to OpenAI's routes; TEI serves one model. */
  readonly model: string | undefined
  readonly truncate: boolean
  readonly timeoutMs: number
  /** Additional headers of a request. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/**
 * If the connection ends while a body larger than this is sent, the server may have refused its
 * size.
 */
const LARGE_BODY_BYTES = 1_000_000

const JSON_BODY = ['content-type', 'application/json']

/** Sends one POST; `read` receives only replies with status 200. */
export function post<T>(
  server: Server,
  route: Route,
  texts: readonly string[],
  signal: AbortSignal | undefined,
  read: (reply: Reply) => T,
): Promise<T | Failure> {
  const { transport, basePath, model, truncate, timeoutMs, headers: more } = server
  const path = route === '/embed' ? basePath + route : server.embeddingsPath
  const body =
    route === '/embed'
      ? JSON.stringify({ inputs: texts, truncate })
      : JSON.stringify({ input: texts, encoding_format: server.encoding, ...dtypeFields(server), model })
  const headers = more === undefined ? JSON_BODY : [...JSON_BODY, ...Object.entries(more).flat()]
  const exchange = (): Promise<T | Failure> =>
    transport.exchange<T | Failure>({ method: 'POST', path, headers, body, timeoutMs, signal }, reply => {
      if (reply.status !== 200) return failureOf(reply)
      try {
        return read(reply)
      } catch (error) {
        if (!(error instanceof InvalidReplyError)) throw error
        const { kind, message } = classifyBody(reply.headers, start(reply))
        return kind === 'gateway' ? { kind, message } : { kind: 'corrupt', message: messageOf(error) }
      }
    })
  return attempt(exchange, () => (texts.length > 1 ? Buffer.byteLength(body) : 0))
}

/** vLLM's fields for replies of bytes. Its default is the byte order of its own machine. */
const dtypeFields = (server: Server): object | undefined =>
  server.encoding === 'bytes' ? { embed_dtype: dtypeOf(server), endianness: 'little' } : undefined

export const dtypeOf = ({ halfPrecision = false }: Pick<Server, 'halfPrecision'>): ReplyDtype =>
  halfPrecision ? 'float16' : 'float32'

export const decode = (
  route: Route,
  reply: Reply,
  target: VectorDestination,
  dtype: ReplyDtype,
): ReplyMetadata => {
  if (isBytesReply(reply)) return decodeBytes(reply, target, dtype)
  const { body } = reply
  if (route === '/v1/embeddings') return decodeEmbeddings(body, target)
  decodeNumbers(body, target)
  return { model: null, tokens: null }
}

/**
 * Converts a transport error into a Failure; an abort and a bug stay exceptions. TEI refuses a body
 * over its limit before it has read it and closes the connection, so a reset during a large body
 * counts as that refusal.
 * @param bodyBytes size of a body that can be split, else 0
 */
export async function attempt<T>(
  exchange: () => Promise<T>,
  bodyBytes: () => number = () => 0,
): Promise<T | Failure> {
  try {
    return await exchange()
  } catch (error) {
    if (!(error instanceof TransportError)) throw error
    const failure = classifyError(error.cause, error.answered)
    const refused = failure.kind === 'reset' && !error.answered && bodyBytes() > LARGE_BODY_BYTES
    return refused ? { ...failure, kind: 'too_large' } : failure
  }
}

export const failureOf = (reply: Reply): Failure => classify(reply.status, reply.headers, start(reply))
const start = ({ body }: Reply): string => body.toString('utf8', 0, ERROR_BODY_BYTES)
