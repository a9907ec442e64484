// The worker's endpoint side against a TEI server over real HTTP, with a model whose vectors anyone
// can compute.

import { type Endpoint, type EndpointOptions, openEndpoint } from '@reembed/endpoint'
import { createLimiter } from '@reembed/limiter'
import { createHashEngine, hashVector, serveTei, type TeiFlags, type TeiServer } from '@reembed/local'
import type { Document } from '@reembed/protocol'
import { type EmbeddedWindow, embed } from '@reembed/worker'
import { afterEach, describe, expect, test } from 'vitest'

const DIMENSIONS = 64
const MODEL = { model: 'hash/one', sha: 'r1', dimensions: DIMENSIONS, maxInputLength: 128 }

const opened: AsyncDisposable[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each[Symbol.asyncDispose]()
})

async function serve(flags: TeiFlags = {}): Promise<TeiServer> {
  const server = await serveTei({ engine: createHashEngine(MODEL), ...flags })
  opened.push(server)
  return server
}

async function open({ url }: TeiServer, options?: EndpointOptions): Promise<Endpoint> {
  const endpoint = await openEndpoint(url, options)
  opened.push(endpoint)
  return endpoint
}

const documents = (count: number): Document[] =>
  Array.from({ length: count }, (_, i) => ({
    kind: 'document',
    id: `d${i}`,
    text: `number ${i}${' word'.repeat((i * 7) % 90)} é😀`,
    position: { part: 0, offset: i },
  }))

async function collect(windows: AsyncIterable<EmbeddedWindow>): Promise<EmbeddedWindow[]> {
  const all: EmbeddedWindow[] = []
  for await (const window of windows) all.push(window)
  return all
}

function expectHashes(windows: readonly EmbeddedWindow[], expected: readonly Document[]): void {
  expect(windows.flatMap(window => window.documents)).toEqual(expected)
  for (const { documents: kept, vectors } of windows) {
    for (const [row, { text }] of kept.entries()) {
      const vector = vectors.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS)
      expect(Buffer.from(vector.slice().buffer).equals(Buffer.from(hashVector(text, MODEL).buffer))).toBe(
        true,
      )
    }
  }
}

describe('a TEI server', () => {
  test('is known by what it states and by its vectors', async () => {
    const endpoint = await open(await serve())
    expect(endpoint.route).toBe('/v1/embeddings')
    expect(endpoint.info).toMatchObject({
      kind: 'tei',
      modelId: 'hash/one',
      revision: 'r1',
      pooling: 'mean',
      dimensions: DIMENSIONS,
      normalized: true,
      maxInputLength: 128,
      maxClientBatchSize: 32,
      autoTruncate: true,
    })
  })

  test.each([
    ['/v1/embeddings', true],
    ['/embed', false],
  ] as const)(
    'by %s every vector is bit-exact, and so is the count of tokens',
    async (route, autoTruncate) => {
      const endpoint = await open(await serve({ autoTruncate }))
      expect(endpoint.route).toBe(route)
      const given = documents(2_000)
      const windows = await collect(embed(given, { endpoint, limiter: createLimiter({ max: 400 }) }))
      expectHashes(windows, given)
      const words = given.reduce((sum, { text }) => sum + text.split(' ').length, 0)
      expect(windows.reduce((sum, { tokens }) => sum + (tokens ?? 0), 0)).toBe(words)
    },
  )

  test('with few permits, shared by three jobs, refuses some requests and loses no document', async () => {
    const server = await serve({ maxConcurrentRequests: 16, maxClientBatchSize: 8 })
    const given = documents(600)
    const jobs = await Promise.all(
      [1, 2, 3].map(async () => {
        const endpoint = await open(server)
        // Each job thinks it has the endpoint to itself.
        const limiter = createLimiter({ max: 16 })
        return collect(embed(given, { endpoint, limiter }))
      }),
    )
    for (const windows of jobs) expectHashes(windows, given)
  })

  test('with a small payload limit gets smaller requests', async () => {
    const endpoint = await open(await serve({ payloadLimit: 2_000 }))
    const given = documents(100)
    expectHashes(await collect(embed(given, { endpoint, limiter: createLimiter({ max: 400 }) })), given)
  })

  test('asks for its key, and gets it', async () => {
    const server = await serve({ apiKey: 'sesame' })
    await expect(openEndpoint(server.url)).rejects.toMatchObject({ code: 'ENDPOINT_ACCESS_DENIED' })
    expect((await open(server, { token: 'sesame' })).info.modelId).toBe('hash/one')
  })

  test('told to refuse long texts, it makes rejects of them', async () => {
    const endpoint = await open(await serve(), { truncate: false })
    const long: Document = {
      kind: 'document',
      id: 'long',
      text: 'w '.repeat(200),
      position: { part: 0, offset: 60 },
    }
    const given = documents(60)
    const windows = await collect(embed([...given, long], { endpoint, limiter: createLimiter({ max: 400 }) }))
    expectHashes(windows, given)
    expect(windows[0]?.rejects).toMatchObject([{ id: 'long', reason: 'too_large' }])
  })
})
