// The bare load generator: requests of 16 texts, so many at once at each URL, over kept sockets,
// nothing decoded or checked.

import { Agent, request as httpRequest } from 'node:http'
import { TEXTS_PER_REQUEST, textOf } from './texts.ts'

const [, , urls = ''] = process.argv
const agent = new Agent({ keepAlive: true })

function post(url: string, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    httpRequest(`${url}/v1/embeddings`, { method: 'POST', agent, headers }, reply => {
      reply.on('data', () => {}).on('end', () => resolve(reply.statusCode ?? 0))
    })
      .on('error', reject)
      .end(body)
  })
}

process.on('message', async ({ documents, atOnce }: { documents: number; atOnce: number }) => {
  let next = 0
  const startedMs = performance.now()
  await Promise.all(
    urls.split(',').flatMap(url =>
      Array.from({ length: atOnce }, async () => {
        while (next < documents) {
          const from = next
          next += TEXTS_PER_REQUEST
          const input = Array.from({ length: TEXTS_PER_REQUEST }, (_, i) => textOf(from + i))
          const status = await post(url, JSON.stringify({ input, encoding_format: 'base64' }))
          if (status !== 200) throw new Error(`HTTP ${status}`)
        }
      }),
    ),
  )
  process.send?.({ ms: performance.now() - startedMs })
})
process.on('disconnect', () => process.exit())
