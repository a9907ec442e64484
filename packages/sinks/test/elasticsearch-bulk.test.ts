import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test, vi } from 'vitest'
import { openElasticsearch } from '../src/stores/elasticsearch.ts'

const VECTOR = 1_024

/** The bytes of each bulk request of a load, of which each takes a time of the clock. */
async function bulksOf(rows: number, takes: (bulk: number) => number): Promise<readonly number[]> {
  const bulks: number[] = []
  let nowMs = 0
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
  onTestFinished(() => void vi.restoreAllMocks())
  const server = createServer(async (request, reply) => {
    let bytes = 0
    for await (const chunk of request) bytes += (chunk as Buffer).length
    if (request.url?.includes('_bulk')) {
      nowMs += takes(bulks.length)
      bulks.push(bytes)
    }
    reply.end('{"version":{"number":"9.3.1"},"errors":false}')
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await using vectors = await openElasticsearch(`elasticsearch+http://127.0.0.1:${port}`)
  const target = {
    name: 'wiki',
    target: 'wiki_a',
    manifest: { run: 'a', model: { dimensions: VECTOR } },
    extra: [],
  }
  const batch = {
    ids: Array.from({ length: rows }, (_, i) => String(i)),
    vectors: new Float32Array(rows * VECTOR),
    extra: new Map(),
  }
  await vectors.write(target as never, {
    load: 'l',
    shard: 0,
    rows: async function* () {
      yield batch as never
    },
  })
  return bulks
}

const mib = (bytes: number): number => Math.round(bytes / 2 ** 20)

test('bulk requests grow to 8 MiB while the server is fast', async () => {
  expect((await bulksOf(8_000, () => 100)).slice(0, 5).map(mib)).toEqual([1, 2, 4, 8, 8])
})

test('bulk requests become smaller while they take longer than 10 s, and grow again', async () => {
  const bulks = await bulksOf(3_000, bulk => (bulk < 3 ? 60_000 : 100))
  expect(bulks.slice(0, 6).map(bytes => Math.round(bytes / 2 ** 17))).toEqual([8, 4, 2, 1, 2, 4])
})
