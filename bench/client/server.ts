// Answers embedding requests with bytes made once per number of inputs, so that it is never the
// bottleneck, and counts them. Speaks just enough HTTP/1.1 for clients that behave; on a second
// port h2c, for the client that speaks nothing else.

import { once } from 'node:events'
import { createServer as createHttp2Server } from 'node:http2'
import { createServer } from 'node:net'
import { vectorOf } from './wire.ts'

const INFO = {
  model_id: 'bench',
  served_model_name: 'bench@r1',
  model_type: { embedding: { pooling: 'mean' } },
  max_concurrent_requests: 4096,
  max_input_length: 512,
  max_batch_tokens: 65536,
  max_client_batch_size: 32,
  auto_truncate: true,
}
const COMPUTE = 'x-compute-tokens: 320\r\nx-queue-time: 1\r\nx-inference-time: 2\r\nx-total-time: 3\r\n'

/** A server may lack the route. Tokens are estimated then. */
const NO_ROUTE = 'HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n'

const http = (body: string): Buffer =>
  Buffer.from(
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n${COMPUTE}content-length: ${body.length}\r\n\r\n${body}`,
  )

/** The bench's own texts are numbered; any other, as a canary, has a vector of its own as well. */
function numberOf(text: string): number {
  const own = /^text (\d+),/.exec(text)?.[1]
  return own === undefined
    ? 1_000 + ([...text].reduce((sum, one) => (Math.imul(sum, 31) + one.charCodeAt(0)) >>> 0, 7) % 1e6)
    : Number(own)
}

function embeddings(inputs: readonly string[], format: string): string {
  const data = inputs.map((text, index) => {
    const vector = vectorOf(numberOf(text))
    const embedding = format === 'base64' ? Buffer.from(vector.buffer).toString('base64') : [...vector]
    return { object: 'embedding', embedding, index }
  })
  const usage = { prompt_tokens: 320, total_tokens: 320 }
  return JSON.stringify({ object: 'list', data, model: 'bench@r1', usage })
}

let requests = 0
let inputs = 0

/**
 * Ready replies by request line, body length and first text; a long body is parsed only the first
 * time.
 */
interface Ready {
  readonly inputs: number
  readonly json: string
  readonly http: Buffer
}
const replies = new Map<string, Ready>()
function replyTo(method: string, path: string, body: Buffer): Ready {
  // Probes and canaries are short, and may differ at the same length; long bodies hold consecutive
  // texts of one length.
  const known = body.length < 16_384 ? body.toString() : `${body.length} ${body.toString('latin1', 0, 24)}`
  const key = `${method} ${path} ${known}`
  let reply = replies.get(key)
  if (reply === undefined) {
    const given = method === 'GET' ? {} : JSON.parse(body.toString())
    const json =
      method === 'GET'
        ? JSON.stringify(INFO)
        : path.includes('/v1/')
          ? embeddings(given.input, given.encoding_format)
          : JSON.stringify(given.inputs.map((text: string) => [...vectorOf(numberOf(text))]))
    reply = { inputs: (given.input ?? given.inputs ?? []).length, json, http: http(json) }
    replies.set(key, reply)
  }
  requests++
  inputs += reply.inputs
  return reply
}

const server = createServer({ noDelay: true }, socket => {
  let chunks: Buffer[] = []
  let have = 0
  let need = 0
  socket.on('data', chunk => {
    chunks.push(chunk)
    have += chunk.length
    if (have < need) return
    let all = chunks.length === 1 ? chunk : Buffer.concat(chunks, have)
    for (;;) {
      const head = all.indexOf('\r\n\r\n')
      if (head < 0) break
      const lines = all.toString('latin1', 0, head)
      const end = head + 4 + Number(/content-length: (\d+)/i.exec(lines)?.[1] ?? 0)
      need = end
      if (all.length < end) break
      const [method = '', path = ''] = lines.split(' ', 2)
      socket.write(path === '/tokenize' ? NO_ROUTE : replyTo(method, path, all.subarray(head + 4, end)).http)
      all = all.subarray(end)
      need = 0
    }
    chunks = all.length > 0 ? [all] : []
    have = all.length
  })
  socket.on('error', () => {})
})

const h2c = createHttp2Server({
  settings: { maxConcurrentStreams: 1_000, initialWindowSize: 16 * 1024 * 1024 },
})
// The default would let 64 KB in for all streams together, which is one request here.
h2c.on('session', session => session.setLocalWindowSize(64 * 1024 * 1024))
h2c.on('stream', (stream, headers) => {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.on('error', () => {})
  stream.on('end', () => {
    const { ':method': method = '', ':path': path = '' } = headers
    stream.respond({ ':status': 200, 'content-type': 'application/json' })
    stream.end(replyTo(method, path, Buffer.concat(chunks)).json)
  })
})

async function listen(one: typeof server | typeof h2c): Promise<string> {
  await once(one.listen(0, '127.0.0.1'), 'listening')
  const address = one.address()
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
}

process.send?.({ url: await listen(server), h2cUrl: await listen(h2c) })
process.on('message', () => process.send?.({ requests, inputs }))
process.on('disconnect', () => process.exit())
