// A minimal HTTP server that answers like TEI unless the script of a test answers instead. Use it
// for replies that no TEI would send; startFakeTei is the faithful fake.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Dimensions of the vectors that the scripted endpoint returns. */
export const DIMENSIONS = 24

/** A request of an embedding route. */
export interface Call {
  readonly route: string
  readonly texts: readonly string[]
  readonly body: Record<string, unknown>
  readonly headers: IncomingHttpHeaders
  /** Number of the call since the last `script`, from 1. */
  readonly number: number
}

/** Answers a call and returns true, or returns false to have it answered like TEI. */
export type Script = (
  call: Call,
  response: ServerResponse,
) => boolean | undefined | Promise<boolean | undefined>

export interface ScriptedEndpoint extends AsyncDisposable {
  readonly url: string
  readonly server: Server
  /** Calls of embedding routes since the last `script`. */
  readonly calls: Call[]
  /** Number of TCP connections accepted. */
  readonly connections: number
  /** The reply of /info. */
  info: Record<string, unknown>
  /** The member `model` of replies in the OpenAI format. */
  model: string
  /** Passes each following call of an embedding route to `script` first, and clears `calls`. */
  script(script: Script): void
}

/** The default reply of /info. */
export const INFO = {
  model_id: 'test/model',
  model_sha: null,
  model_type: { embedding: { pooling: 'mean' } },
  max_concurrent_requests: 512,
  max_input_length: 512,
  max_batch_tokens: 16384,
  max_client_batch_size: 32,
  auto_truncate: true,
  served_model_name: 'test/model@r1',
  version: '1.9.3',
}

/**
 * Starts a scripted endpoint.
 * @example
 * ```ts
 * import { sendError, startScriptedEndpoint } from '@reembed/testing'
 *
 * await using endpoint = await startScriptedEndpoint()
 * endpoint.script(({ number }, response) =>
 *   number === 1 ? sendError(response, 429, 'overloaded', 'Model is overloaded') : false,
 * )
 * ```
 */
export async function startScriptedEndpoint(): Promise<ScriptedEndpoint> {
  let script: Script = () => false
  let connections = 0
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const route = request.url ?? ''
    if (route === '/info') {
      sendJson(response, 200, endpoint.info)
      return
    }
    if (request.method === 'GET') {
      response.writeHead(404).end()
      return
    }
    const body: Record<string, unknown> = JSON.parse(Buffer.concat(chunks).toString() || '{}')
    const given = body.inputs ?? body.input
    const texts: string[] = Array.isArray(given) ? given : [given]
    const call = { route, texts, body, headers: request.headers, number: endpoint.calls.length + 1 }
    endpoint.calls.push(call)
    if (await script(call, response)) return
    answer(call, response)
  })
  server.on('connection', () => connections++)

  function answer({ route, texts }: Call, response: ServerResponse): void {
    const vectors = texts.map(text => vectorOf(text))
    const tokens = texts.reduce((sum, text) => sum + tokensOf(text), 0)
    const headers = {
      'x-compute-tokens': tokens,
      'x-queue-time': 3,
      'x-inference-time': 7,
      'x-total-time': 11,
    }
    const reply =
      route === '/embed' ? vectors.map(vector => [...vector]) : openaiReply(vectors, endpoint.model, tokens)
    sendJson(response, 200, reply, headers)
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const endpoint: ScriptedEndpoint = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    server,
    calls: [],
    get connections() {
      return connections
    },
    info: { ...INFO },
    model: 'test/model@r1',
    script(next) {
      endpoint.calls.length = 0
      script = next
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return endpoint
}

/** The number of tokens that the scripted endpoint counts for a text. */
export const tokensOf = (text: string): number => Math.ceil(text.length / 4) + 2

/**
 * The vector that the scripted endpoint returns for a text: a unit vector from a hash of the text.
 */
export function vectorOf(text: string, dimensions: number = DIMENSIONS): Float32Array {
  const bytes = createHash('shake256', { outputLength: dimensions }).update(text).digest()
  const values = Array.from(bytes, byte => byte - 127.5)
  const norm = Math.hypot(...values)
  return Float32Array.from(values, value => value / norm)
}

/** Encodes a vector as the OpenAI format does: little-endian float32 in base64. */
export const base64 = (vector: Float32Array): string =>
  Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64')

/** The body of a reply in the OpenAI format. */
export const openaiReply = (
  vectors: readonly Float32Array[],
  model = 'test/model@r1',
  tokens = 1,
): unknown => ({
  object: 'list',
  data: vectors.map((vector, index) => ({ object: 'embedding', embedding: base64(vector), index })),
  model,
  usage: { prompt_tokens: tokens, total_tokens: tokens },
})

/** Sends a JSON reply. Returns true, so that a script can return the call. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string | number> = {},
): true {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
  return true
}

/** Sends an error with the body of TEI's OpenAI-compatible routes. Returns true. */
export const sendError = (response: ServerResponse, status: number, type: string, message: string): true =>
  sendJson(response, status, { message, code: status, type })
