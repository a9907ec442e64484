// An OpenAI-compatible server with the limits and habits of such servers by choice. It counts a
// token for each four characters. startScriptedEndpoint is for single replies.

import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { openaiReply, sendJson, vectorOf } from './scripted-endpoint.ts'

export interface OpenaiServerOptions {
  readonly model?: string
  /** Path of the only route, with its query. */
  readonly route?: string
  /** The token that the header `api-key` or `authorization` must hold. */
  readonly key?: { readonly header: 'api-key' | 'authorization'; readonly token: string }
  /** The status of each other path; 404 if not given. */
  readonly otherStatus?: number
  /** Most tokens of a text, most inputs and most tokens of a request. */
  readonly maxTextTokens?: number
  readonly maxInputs?: number
  readonly maxRequestTokens?: number
  /** Status of a refusal; 400 if not given. */
  readonly refusalStatus?: number
  /** Whether `encoding_format: base64` is refused. */
  readonly refusesBase64?: boolean
  /**
   * Lists its model as vLLM does, and answers `encoding_format: bytes`: without its fields in
   * float32 and the byte order of its machine. `refused`: a version before 0.12; `json`: behind a
   * proxy that does not know the format and asks for numbers; `small_headers`: behind a proxy that
   * answers 502 in place of headers above 2 KiB.
   */
  readonly vllm?: 'bytes' | 'refused' | 'json' | 'small_headers'
  /** Whether the usage of a reply counts characters, as that of infinity does. */
  readonly countsCharacters?: boolean
  /** A text that holds `word` gets status 500, or its connection is reset. */
  readonly poison?: { readonly word: string; readonly answer: 'error' | 'reset' }
}

export interface OpenaiServer extends AsyncDisposable {
  readonly url: string
  /** URL of the route, with its query. */
  readonly routeUrl: string
  /** Number of inputs of each request that was answered with vectors, in order. */
  readonly answered: number[]
  /** `encoding_format`, with `embed_dtype` where it was sent, of these requests. */
  readonly encodings: string[]
  /** Messages of the requests that were refused. */
  readonly refused: string[]
}

export const openaiTokensOf = (text: string): number => Math.max(1, Math.ceil(text.length / 4))

/** Starts the server on a free loopback port. */
export async function startOpenaiServer(options: OpenaiServerOptions = {}): Promise<OpenaiServer> {
  const { route = '/v1/embeddings', otherStatus = 404, refusalStatus = 400, key } = options
  const answered: number[] = []
  const refused: string[] = []
  const encodings: string[] = []

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    if (options.vllm !== undefined && request.url === '/v1/models') {
      sendJson(response, 200, { data: [{ id: options.model ?? 'm', owned_by: 'vllm' }] })
      return
    }
    if (request.url !== route) {
      sendJson(response, otherStatus, { detail: 'not here' })
      return
    }
    const sent = key && request.headers[key.header]
    if (key && sent !== (key.header === 'api-key' ? key.token : `Bearer ${key.token}`)) {
      sendJson(response, 401, { error: { message: 'Access denied: no valid key' } })
      return
    }
    const { input, encoding_format, embed_dtype } = JSON.parse(Buffer.concat(chunks).toString())
    const encoding: unknown = encoding_format
    const texts: string[] = Array.isArray(input) ? input : [input]
    const refusal = refusalOf(texts, encoding, options)
    if (refusal !== undefined) {
      refused.push(refusal)
      sendJson(response, refusalStatus, { error: { message: refusal, type: 'invalid_request_error' } })
      return
    }
    const { poison } = options
    if (poison && texts.some(text => text.includes(poison.word))) {
      if (poison.answer === 'reset') response.destroy()
      else sendJson(response, 500, { error: { message: `the model failed` } })
      return
    }
    answered.push(texts.length)
    encodings.push([encoding ?? 'none', embed_dtype].filter(Boolean).join(' '))
    const vectors = texts.map(text => vectorOf(text))
    const count = options.countsCharacters ? (text: string) => text.length : openaiTokensOf
    const tokens = texts.reduce((sum, text) => sum + count(text), 0)
    const model = options.model ?? 'm'
    const reply = openaiReply(vectors, model, tokens) as { data: object[] }
    if (encoding === 'bytes' && options.vllm !== 'json') {
      const maxHeaderBytes = options.vllm === 'small_headers' ? 2048 : Number.POSITIVE_INFINITY
      sendBytes(response, vectors, { dtype: embed_dtype ?? 'float32', reply, maxHeaderBytes })
      return
    }
    const data = reply.data.map((entry, i) => ({ ...entry, embedding: [...(vectors[i] ?? [])] }))
    sendJson(response, 200, encoding === 'base64' ? reply : { ...reply, data })
  }

  const server = createServer((request, response) => void answer(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    routeUrl: url + route,
    answered,
    encodings,
    refused,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** vLLM's reply of bytes: the vectors as the body, and all else in the header `metadata`. */
function sendBytes(
  response: ServerResponse,
  vectors: readonly Float32Array[],
  {
    dtype,
    reply,
    maxHeaderBytes,
  }: { readonly dtype: 'float32' | 'float16'; readonly reply: object; readonly maxHeaderBytes: number },
): void {
  const parts = vectors.map(vector =>
    Buffer.from((dtype === 'float16' ? new Float16Array(vector) : vector).buffer),
  )
  let start = 0
  const data = parts.map(({ length }, index) => {
    const place = { index, embed_dtype: dtype, endianness: 'little', start, end: start + length }
    start += length
    return { ...place, shape: [vectors[index]?.length] }
  })
  const metadata = JSON.stringify({ id: 'embd-1', created: 0, ...reply, data })
  if (metadata.length > maxHeaderBytes) {
    response.writeHead(502).end('upstream sent too big header')
    return
  }
  response.writeHead(200, { 'content-type': 'application/octet-stream', metadata }).end(Buffer.concat(parts))
}

/** Why the server refuses a request; undefined if it does not. */
function refusalOf(
  texts: readonly string[],
  encoding: unknown,
  { maxTextTokens, maxInputs, maxRequestTokens, refusesBase64, vllm }: OpenaiServerOptions,
): string | undefined {
  if (encoding === 'bytes' && (vllm ?? 'refused') === 'refused')
    return "1 validation error: encoding_format: Input should be 'float' or 'base64'"
  if (refusesBase64 && encoding === 'base64') return "unknown field 'encoding_format'"
  const counts = texts.map(openaiTokensOf)
  const total = counts.reduce((sum, count) => sum + count, 0)
  const longest = Math.max(...counts)
  if (maxInputs !== undefined && texts.length > maxInputs)
    return `batch size is invalid, it should not be larger than ${maxInputs}.`
  if (maxTextTokens !== undefined && longest > maxTextTokens)
    return `This model's maximum context length is ${maxTextTokens} tokens, however you requested ${longest} tokens.`
  if (maxRequestTokens !== undefined && total > maxRequestTokens) return 'request exceeds the quota of a call'
  return undefined
}
