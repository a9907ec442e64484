// A model server that answers anything, over real HTTP: /info, /embed, /v1/embeddings and
// /tokenize, errors, headers, bodies that are cut. Whatever it does is an outcome or a clear error.

import { createServer, type Server, type Socket } from 'node:net'
import { openEndpoint } from '@reembed/endpoint'
import { must, refusing, type Target } from '../target.ts'

const REFUSED = [
  'ENDPOINT_UNSUPPORTED',
  'ENDPOINT_UNREACHABLE',
  'ENDPOINT_ACCESS_DENIED',
  'ENDPOINT_OVERLOADED',
  'REPLY_INVALID',
  'MODEL_MISMATCH',
]
const OUTCOMES =
  'ok overload cold gateway down reset timeout backend corrupt batch_limit too_large too_long bad_input denied paused route_missing redirect wrong_model unfit'.split(
    ' ',
  )
/** Between the replies of an input; each begins with what it answers: i, e, v or t. */
const SPLIT = Buffer.from('\u0000\u0000')

const base64 = (values: readonly number[]): string =>
  Buffer.from(Float32Array.from(values).buffer).toString('base64')
const rows = [
  [0.6, 0.8],
  [0.8, 0.6],
  [1, 0],
]
const info = {
  model_id: 'm',
  model_sha: 'r',
  model_type: { embedding: { pooling: 'mean' } },
  max_client_batch_size: 32,
  max_input_length: 512,
  max_batch_tokens: 16384,
  max_concurrent_requests: 512,
  auto_truncate: true,
  version: '1.8.3',
}
const v1 = {
  object: 'list',
  data: rows.map((row, index) => ({ object: 'embedding', embedding: base64(row), index })),
  model: 'm',
  usage: { prompt_tokens: 9, total_tokens: 9 },
}
const http = (status: string, body: string, headers = ''): string =>
  `HTTP/1.1 ${status}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`
const input = (replies: Readonly<Record<string, string>>): Buffer =>
  Buffer.from(
    Object.entries(replies)
      .map(([route, reply]) => route + reply)
      .join('\u0000\u0000'),
  )

const good = {
  i: http('200 OK', JSON.stringify(info), 'content-type: application/json\r\n'),
  e: http(
    '200 OK',
    JSON.stringify(rows),
    'x-compute-tokens: 9\r\nx-queue-time: 1\r\nx-inference-time: 12\r\n',
  ),
  v: http('200 OK', JSON.stringify(v1)),
  t: http('200 OK', JSON.stringify([[{ id: 1 }], [], []])),
}

let replies: ReadonlyMap<string, Buffer> = new Map()
let server: Promise<{ url: string; server: Server }> | undefined

/** Answers each request by its path with the bytes of the input as they are, and closes. */
function answer(socket: Socket): void {
  let seen = ''
  socket.on('error', () => {})
  socket.on('data', chunk => {
    seen += chunk.toString('latin1')
    const [head = '', body] = seen.split('\r\n\r\n', 2)
    if (body === undefined) return
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0)
    if (seen.length < head.length + 4 + length) return
    const path = head.split(' ')[1] ?? ''
    const route = path.endsWith('/info')
      ? 'i'
      : path.endsWith('/embed')
        ? 'e'
        : path.endsWith('/tokenize')
          ? 't'
          : 'v'
    socket.end(replies.get(route) ?? 'HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n')
  })
}

function listening(): Promise<{ url: string; server: Server }> {
  server ??= new Promise(resolve => {
    const made = createServer(answer)
    made.listen(0, '127.0.0.1', () => {
      const { port } = made.address() as { port: number }
      made.unref()
      resolve({ url: `http://127.0.0.1:${port}`, server: made })
    })
  })
  return server
}

export const target: Target = {
  what: 'an endpoint over HTTP: info, replies, errors, headers',
  maxBytes: 3_000,
  maxMiB: 256,
  dictionary: [
    SPLIT,
    'HTTP/1.1 200 OK\r\n',
    '429',
    '503',
    '413',
    '422',
    '424',
    'retry-after: 1\r\n',
    'transfer-encoding: chunked\r\n',
    'content-length: 0\r\n',
    'location: http://x/\r\n',
    'content-type: text/html\r\n',
    '<!doctype html>',
    '"error_type":"Validation"',
    '"error":"',
    'batch size 4 > maximum allowed batch size 1',
    'must have less than 512 tokens',
    'endpoint is paused',
    'null',
    'NaN',
    '1e400',
    '[[',
    '\r\n\r\n',
    'content-encoding: gzip\r\n',
    '"model_type":{"',
    '"auto_truncate":false',
  ],
  seeds: () => [
    input(good),
    input({ ...good, v: http('404 Not Found', '') }),
    input({ ...good, i: http('200 OK', JSON.stringify({ ...info, auto_truncate: false })) }),
    input({
      ...good,
      e: http(
        '429 Too Many',
        JSON.stringify({ error: 'Model is overloaded', error_type: 'Overloaded' }),
        'retry-after: 3\r\n',
      ),
    }),
    input({
      ...good,
      v: http(
        '413 x',
        JSON.stringify({ error: 'batch size 4 > maximum allowed batch size 1', error_type: 'Validation' }),
      ),
    }),
    input({
      ...good,
      v: `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n`,
    }),
    input({ ...good, v: http('200 OK', JSON.stringify({ detail: [{ msg: 'no', input: 'the text' }] })) }),
  ],
  async check(bytes) {
    const found = new Map<string, Buffer>()
    for (let at = 0; at < bytes.length; ) {
      const next = bytes.indexOf(SPLIT, at)
      const end = next === -1 ? bytes.length : next
      found.set(bytes.toString('latin1', at, at + 1), bytes.subarray(at + 1, end))
      at = end + SPLIT.length
    }
    replies = found
    const { url } = await listening()
    const endpoint = await refusing(REFUSED, () => openEndpoint(url, { timeoutMs: 5_000 }))
    if (endpoint === undefined) return
    try {
      const { dimensions, maxClientBatchSize } = endpoint.info
      must(Number.isSafeInteger(dimensions) && dimensions > 0, () => `${dimensions} dimensions`)
      must(maxClientBatchSize > 0, () => `requests of ${maxClientBatchSize} texts`)
      const texts = ['a', 'b', 'c']
      const vectors = new Float32Array(texts.length * dimensions)
      const outcome = await endpoint.request(texts, vectors)
      must(OUTCOMES.includes(outcome.kind), () => `an outcome ${outcome.kind}`)
      if (outcome.kind === 'ok') {
        for (let i = 0; i < texts.length; i++) {
          const norm = Math.hypot(...vectors.subarray(i * dimensions, (i + 1) * dimensions))
          must(
            outcome.badRows.includes(i) || (norm > 0 && norm < Infinity),
            () => `a vector of length ${norm} was taken`,
          )
        }
      } else must(outcome.message.length <= 300, () => `a message of ${outcome.message.length} characters`)
      const counts = await endpoint.countTokens(texts)
      must(counts === null || counts.length === texts.length, () => `${counts?.length} counts`)
    } finally {
      await endpoint[Symbol.asyncDispose]()
    }
  },
}
