// Our decode over HTTP/2 without TLS, which reembed does not speak: to compare on the very server
// that the h2c client of others is measured on. Flow control is opened wide, so that neither side
// waits for leave to send.

import { once } from 'node:events'
import { connect } from 'node:http2'
import { decodeEmbeddings } from '@reembed/endpoint'
import { DIMENSIONS, texts } from './wire.ts'

const WINDOW_BYTES = 16 * 1024 * 1024
const rows = texts.map((_, i) => i)

export async function overH2c(url: string): Promise<(vectors: Float32Array) => Promise<undefined>> {
  const session = connect(url, { settings: { enablePush: false, initialWindowSize: WINDOW_BYTES } })
  await once(session, 'connect')
  session.setLocalWindowSize(4 * WINDOW_BYTES)
  const free: Buffer[] = []
  return async vectors => {
    const buffer = free.pop() ?? Buffer.allocUnsafeSlow(1024 * 1024)
    let length = 0
    const stream = session.request({
      ':method': 'POST',
      ':path': '/v1/embeddings',
      'content-type': 'application/json',
    })
    stream.on('data', (chunk: Buffer) => {
      buffer.set(chunk, length)
      length += chunk.length
    })
    const ended = once(stream, 'end')
    stream.end(JSON.stringify({ input: texts, encoding_format: 'base64' }))
    await ended
    decodeEmbeddings(buffer.subarray(0, length), { vectors, dimensions: DIMENSIONS, rows })
    free.push(buffer)
    return undefined
  }
}
