// Answers embedding requests of the carry bench with ready bytes: the vector of a text is a part of
// one long base64 string, chosen by the numbers in the text. All components are
// +-1/sqrt(dimensions), so every vector has length 1. Speaks just enough HTTP/1.1 for a client that
// behaves.

import { once } from 'node:events'
import { createServer } from 'node:net'

const dimensions = Number(process.argv[2] ?? 384)
/** Characters of a vector, and between the beginnings of two vectors: 3 components. */
const CHARACTERS = (dimensions * 16) / 3
const STEP = 16
const STARTS = 1 << 19

const INFO = JSON.stringify({
  model_id: 'bench',
  served_model_name: 'bench@r1',
  model_type: { embedding: { pooling: 'mean' } },
  max_concurrent_requests: 4096,
  max_input_length: 512,
  max_batch_tokens: 65_536,
  max_client_batch_size: 32,
  auto_truncate: true,
})

const components = Float32Array.from({ length: STARTS * 3 + dimensions }, (_, i) => {
  const half = Math.imul(i ^ (i >>> 16), 0x85ebca6b)
  const mixed = Math.imul(half ^ (half >>> 13), 0xc2b2ae35)
  return ((mixed ^ (mixed >>> 16)) & 1 ? 1 : -1) / Math.sqrt(dimensions)
})
const ready = Buffer.from(components.buffer).toString('base64')

/** A hash of the first number of a text and of its edition, or of the whole text. */
function startOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return ((hash ^ (hash >>> 13)) >>> 0) % STARTS
}

function base64Of(text: string): string {
  const start = startOf(text) * STEP
  return ready.slice(start, start + CHARACTERS)
}

function embeddings(body: string, path: string): string {
  const given = JSON.parse(body)
  const texts: string[] = [given.input ?? given.inputs].flat()
  if (!path.includes('/v1/') || given.encoding_format !== 'base64') {
    const vectors = texts.map(text => [
      ...new Float32Array(new Uint8Array(Buffer.from(base64Of(text), 'base64')).buffer),
    ])
    if (!path.includes('/v1/')) return JSON.stringify(vectors)
    throw new Error('the client is expected to ask for base64')
  }
  let data = ''
  for (const [index, text] of texts.entries()) {
    if (index > 0) data += ','
    data += `{"object":"embedding","index":${index},"embedding":"${base64Of(text)}"}`
  }
  return `{"object":"list","data":[${data}],"model":"bench@r1","usage":{"prompt_tokens":${10 * texts.length},"total_tokens":${10 * texts.length}}}`
}

const server = createServer({ noDelay: true }, socket => {
  let chunks: Buffer[] = []
  let [have, need] = [0, 0]
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
      const body = method === 'GET' ? INFO : embeddings(all.toString('utf8', head + 4, end), path)
      socket.write(
        `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
        'latin1',
      )
      all = all.subarray(end)
      need = 0
    }
    chunks = all.length > 0 ? [all] : []
    have = all.length
  })
  socket.on('error', () => {})
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const address = server.address()
process.on('disconnect', () => process.exit())
process.send?.({ url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}` })
