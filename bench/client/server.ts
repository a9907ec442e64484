// Answers embedding requests with bytes made once per number of inputs, so that it is never the bottleneck, and
// counts them. Speaks just enough HTTP/1.1 for clients that behave.

import { once } from 'node:events'
import { createServer } from 'node:net'
import { vectorOf } from './wire.ts'

const INFO = {
  model_id: 'bench',
  model_type: { embedding: { pooling: 'mean' } },
  max_concurrent_requests: 4096,
  max_input_length: 512,
  max_batch_tokens: 16384,
  max_client_batch_size: 32,
  auto_truncate: true,
}
const COMPUTE = 'x-compute-tokens: 320\r\nx-queue-time: 1\r\nx-inference-time: 2\r\nx-total-time: 3\r\n'

const http = (body: string, headers = ''): Buffer =>
  Buffer.from(
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n${headers}content-length: ${body.length}\r\n\r\n${body}`,
  )

function embeddings(inputs: number): Buffer {
  const data = Array.from({ length: inputs }, (_, index) => {
    const embedding = Buffer.from(vectorOf(index).buffer).toString('base64')
    return { object: 'embedding', embedding, index }
  })
  const usage = { prompt_tokens: 320, total_tokens: 320 }
  return http(JSON.stringify({ object: 'list', data, model: 'bench', usage }), COMPUTE)
}

/** Ready replies by request line and body length; a body is parsed only the first time its length is seen. */
const replies = new Map<string, Buffer>()
function replyTo(line: string, body: Buffer): Buffer {
  const key = `${line} ${body.length}`
  let reply = replies.get(key)
  if (reply === undefined) {
    const given = line.startsWith('GET') ? {} : JSON.parse(body.toString())
    if (line.startsWith('GET')) reply = http(JSON.stringify(INFO))
    else if (line.includes('/v1/')) reply = embeddings(given.input.length)
    else reply = http(JSON.stringify(given.inputs.map((_: string, i: number) => [...vectorOf(i)])), COMPUTE)
    replies.set(key, reply)
  }
  return reply
}

let requests = 0
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
      requests++
      socket.write(replyTo(lines.slice(0, lines.indexOf('\r\n')), all.subarray(head + 4, end)))
      all = all.subarray(end)
      need = 0
    }
    chunks = all.length > 0 ? [all] : []
    have = all.length
  })
  socket.on('error', () => {})
})
await once(server.listen(0, '127.0.0.1'), 'listening')
const address = server.address()
process.send?.({ url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}` })
process.on('message', () => process.send?.({ requests }))
process.on('disconnect', () => process.exit())
