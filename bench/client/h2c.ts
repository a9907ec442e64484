// Our decode over HTTP/2 without TLS, which undici can do and reembed does not: to compare on the very server that
// the h2c client of others is measured on.

import { decodeEmbeddings } from '@reembed/worker'
import { H2CClient } from 'undici'
import { DIMENSIONS, texts } from './wire.ts'

const rows = texts.map((_, i) => i)

export function overH2c(url: string): (vectors: Float32Array) => Promise<undefined> {
  const client = new H2CClient(url, {
    pipelining: 256,
    maxConcurrentStreams: 256,
  })
  const free: Buffer[] = []
  return vectors =>
    new Promise((resolve, reject) => {
      const buffer = free.pop() ?? Buffer.allocUnsafeSlow(1024 * 1024)
      let length = 0
      client.dispatch(
        {
          method: 'POST',
          path: '/v1/embeddings',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ input: texts, encoding_format: 'base64' }),
        },
        {
          onRequestStart() {},
          onResponseStart() {},
          onResponseData(_controller, chunk) {
            buffer.set(chunk, length)
            length += chunk.length
          },
          onResponseEnd() {
            decodeEmbeddings(buffer.subarray(0, length), { vectors, dimensions: DIMENSIONS, rows })
            free.push(buffer)
            resolve(undefined)
          },
          onResponseError: (_controller, error) => reject(error),
        },
      )
    })
}
