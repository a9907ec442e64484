// Loads into Qdrant: a stand-in of its API, and a real server where REEMBED_TEST_QDRANT has its
// address, for example http://127.0.0.1:6333. Collections of these tests are deleted there, and the
// records of their loads.

import { columnsOf, columnsUnder } from '@reembed/export'
import { putVersion, readLoadRecords, wholeTarget } from '@reembed/protocol'
import { dropTarget, loadRun, openVectorStore, switchStore, type VectorStore } from '@reembed/sinks'
import { openStore } from '@reembed/store'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { makeRun } from '../export/run.ts'
import { temporaryFolder } from '../parts/cli.ts'
import { startQdrant } from '../parts/qdrant.ts'
import { lackOfQdrant, type PointOf, QDRANT_KEY, qdrantClient, qdrantUrl } from '../parts/qdrant-client.ts'
import { memoryStore } from '../shard/parts.ts'
import { eitherModel, type FoundRow, proveLoads, type TestedStore } from './conformance.ts'

const KEY = QDRANT_KEY
beforeEach(() => {
  vi.stubEnv('QDRANT_API_KEY', KEY)
})
afterEach(() => {
  vi.unstubAllEnvs()
})

const open = (url?: string) => async (): Promise<TestedStore> => {
  const client = await qdrantClient(url)
  const pointOf = async (target: string, id: string) => {
    for await (const points of client.points(target)) {
      const found = points.find(({ payload }) => payload.id === id)
      if (found) return found
    }
    throw new Error(`${target} has no ${id}`)
  }
  return {
    url: `qdrant+${client.url}`,
    env: { QDRANT_API_KEY: KEY },
    async rows(target) {
      const rows: FoundRow[] = []
      for await (const points of client.points(target))
        for (const { vector, payload } of points) {
          const { id, ...columns } = payload
          rows.push({ id: String(id), vector: Float32Array.from(vector), columns })
        }
      return rows
    },
    async search(name) {
      const { points } = await eitherModel(query =>
        client.request<{ points: readonly PointOf[] }>('POST', `/collections/${name}/points/query`, {
          query,
          limit: 10,
          with_vector: true,
        }),
      )
      return points.map(({ vector }) => vector.length)
    },
    async remove(target, id) {
      const point = await pointOf(target, id)
      await client.request('POST', `/collections/${target}/points/delete?wait=true`, { points: [point.id] })
    },
    async change(target, id, vector) {
      await client.put(target, [{ ...(await pointOf(target, id)), vector: [...vector] }])
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  }
}

// JSON.parse of client and stand-in rounds integers above 2^53, as Qdrant's payload does not.
const TRAITS = { bits: true, lossyColumns: ['bytes'] }
proveLoads('Qdrant (stand-in)', undefined, open(), TRAITS)
proveLoads(
  'Qdrant',
  lackOfQdrant,
  async () => {
    await using client = await qdrantClient(qdrantUrl)
    const { collections } = await client.request<{ collections: { name: string }[] }>('GET', '/collections')
    // What an earlier run of these tests left. The records of other loads stay.
    const isOfTests = (name: unknown): boolean => /_([abcd])\1{11}/.test(String(name))
    for (const { name } of collections) {
      if (isOfTests(name)) await client.request('DELETE', `/collections/${name}`)
      if (name !== 'reembed_loads') continue
      const records = (await Array.fromAsync(client.points(name))).flat()
      const points = records.filter(({ payload }) => isOfTests(payload.target)).map(({ id }) => id)
      if (points.length > 0)
        await client.request('POST', `/collections/${name}/points/delete?wait=true`, { points })
    }
    return open(qdrantUrl)()
  },
  TRAITS,
)

test('points are upserted while the collection has no graph, and the graph is built at the end', async () => {
  await using server = await startQdrant(KEY)
  const output = memoryStore()
  const { manifest } = await makeRun(output)
  await using vectors = await openVectorStore(`qdrant+${server.url}`)
  const { record } = await loadRun(output, manifest, vectors)
  const loads = server.upsertedWith.slice(1)
  expect(loads.length).toBeGreaterThan(2)
  expect(new Set(loads)).toEqual(new Set([0]))
  expect(server.collections.get(record.target)?.graph).toBe(16)
})

test('upserts over a limit of the server are split', async () => {
  await using server = await startQdrant(KEY)
  const output = memoryStore()
  const { manifest } = await makeRun(output)
  await using vectors = await openVectorStore(`qdrant+${server.url}`)
  Object.assign(server.limits, { points: 30, bytes: 8_000 })
  const { proof } = await loadRun(output, manifest, vectors)
  expect(proof).toMatchObject({ rows: 300, refused: 0 })
  const split = server.upsertedWith.length
  Object.assign(server.limits, { points: Number.POSITIVE_INFINITY, bytes: 1e6 })
  await loadRun(output, manifest, vectors, { name: 'whole' })
  expect(server.upsertedWith.length - split).toBeLessThan(0.7 * split)
  // A point alone is too large.
  server.limits.bytes = 200
  await expect(loadRun(output, manifest, vectors, { name: 'small' })).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('is larger than allowed (limit: 200 bytes)'),
  })
})

test('a switch to a collection that does not exist leaves searches where they are', async () => {
  await using server = await startQdrant(KEY)
  const output = memoryStore()
  const { manifest } = await makeRun(output)
  await using vectors = await openVectorStore(`qdrant+${server.url}`)
  const { record } = await loadRun(output, manifest, vectors, { name: 'wiki' })
  await vectors.switchTo('wiki', record.target)
  await expect(vectors.switchTo('wiki', 'wiki_deleted')).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('has no wiki_deleted any more: load the run again'),
  })
  expect(await vectors.current('wiki')).toBe(record.target)
})

test('a server that holds no load is no error', async () => {
  await using server = await startQdrant(KEY)
  await using vectors = await openVectorStore(`qdrant+${server.url}`)
  expect(await vectors.holds('wiki_a')).toBeUndefined()
})

test('a wrong key is named, and a collection of the same name is refused', async () => {
  await using server = await startQdrant('another')
  const output = memoryStore()
  const { manifest } = await makeRun(output)
  await using vectors = await openVectorStore(`qdrant+${server.url}`)
  await expect(loadRun(output, manifest, vectors)).rejects.toMatchObject({
    code: 'STORE_ACCESS_DENIED',
    message: expect.stringContaining('check the key or the password'),
  })
  vi.stubEnv('QDRANT_API_KEY', 'another')
  server.collections.set('embeddings', { size: 1, distance: 'Dot', m: 16, optimizing: 0, points: new Map() })
  await using again = await openVectorStore(`qdrant+${server.url}`)
  await expect(loadRun(output, manifest, again)).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining("'embeddings'"),
  })
})

test('a switch at an address where no server answers fails at once', async () => {
  await using vectors = await openVectorStore('qdrant+http://127.0.0.1:1')
  await expect(switchStore(memoryStore(), vectors)).rejects.toMatchObject({
    code: 'STORE_UNREACHABLE',
    message: expect.stringContaining('http://127.0.0.1:1 does not answer'),
  })
}, 5_000)

test('an invalid URL is refused without the password in it', async () => {
  await expect(openVectorStore('qdrant+http://app:p/w@host:6333')).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringMatching(/^the qdrant\+http: URL of the vector store is invalid(?!.*p\/w)/),
  })
})

test('loaders that prepare a target at a time agree on one load', async () => {
  await using server = await startQdrant(KEY)
  const { manifest } = await makeRun(memoryStore())
  await using vectors = await openVectorStore(`qdrant+${server.url}`)
  const target = { name: 'wiki', target: 'wiki_a', manifest, extra: [] }
  // Both list the collections before one is created, and a second record comes after the first
  // loader has its load.
  const [listed, prepared] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  let [lists, records] = [0, 0]
  const { fetch } = globalThis
  vi.stubGlobal('fetch', async (url: string, request: RequestInit) => {
    const { pathname } = new URL(url)
    const isPut = request.method === 'PUT'
    if (isPut && pathname === '/collections/wiki_a') await listed.promise
    if (isPut && pathname === '/collections/reembed_loads/points') {
      records += 1
      if (records === 2) await prepared.promise
    }
    const reply = await fetch(url, request)
    if (pathname === '/collections') {
      lists += 1
      if (lists === 2) listed.resolve()
    }
    return reply
  })
  try {
    const loads = [vectors.prepare(target), vectors.prepare(target)]
    void Promise.race(loads).then(() => prepared.resolve())
    const [first, second] = await Promise.all(loads)
    expect(second).toBe(first)
    expect(await vectors.holds('wiki_a')).toBe(first)
  } finally {
    vi.unstubAllGlobals()
  }
})

test('a collection whose creator was stopped before the record is taken over', async () => {
  await using server = await startQdrant(KEY)
  const { manifest } = await makeRun(memoryStore())
  await using vectors = await openVectorStore(`qdrant+${server.url}`)
  const target = { name: 'wiki', target: 'wiki_a', manifest, extra: [] }
  await vectors.prepare(target)
  server.collections.get('reembed_loads')?.points.clear()
  const load = await vectors.prepare(target)
  expect(await vectors.holds('wiki_a')).toBe(load)
})

test('a collection whose creator was stopped after a drop is taken over with an id of that drop', async () => {
  await using server = await startQdrant(KEY)
  const output = memoryStore()
  const { manifest } = await makeRun(output)
  await using vectors = await openVectorStore(`qdrant+${server.url}`)
  const target = wholeTarget([], 'wiki', manifest.run)
  const at = {
    name: 'wiki',
    target,
    manifest,
    extra: columnsUnder(columnsOf(manifest, { identifiers: false })),
  }
  const points = () => server.collections.get('reembed_loads')?.points
  await vectors.prepare(at)
  await dropTarget(output, vectors, manifest.run, { name: 'wiki' })
  expect(await vectors.holds(target)).toBeUndefined()
  const before = [...(points() ?? [])]
  await vectors.prepare(at)
  for (const [id, point] of before) points()?.set(id, point)
  const load = await vectors.prepare(at)
  expect(before.map(([, { payload }]) => payload.load)).toEqual([load])
  expect(await vectors.holds(target)).toBe(load)
})

test('of two updates of a target at a time, the one whose target the other has closed completes', async () => {
  await using server = await startQdrant(KEY)
  await using folder = await temporaryFolder()
  await using output = await openStore(folder.path)
  const publish = (run: string, version: number) =>
    putVersion(output, { version, run, seq: version, manifestSha256: '' })
  const old = await makeRun(output, { run: 'a'.repeat(26) })
  const rows = Array.from({ length: 300 }, (_, row) => row).filter(row => row !== 3)
  const later = { from: old.manifest.run, rows: [...rows, 300], changed: new Set([7]) }
  const next = await makeRun(output, { run: 'b'.repeat(26), later })
  await using vectors = await openVectorStore(`qdrant+${server.url}`)
  await using other = await openVectorStore(`qdrant+${server.url}`)
  await publish(old.manifest.run, 1)
  await loadRun(output, old.manifest, vectors, { name: 'wiki' })
  await switchStore(output, vectors, { name: 'wiki' })
  await publish(next.manifest.run, 2)
  const update = (vectors: VectorStore) =>
    loadRun(output, next.manifest, vectors, { name: 'wiki', update: true })
  let isFirst = true
  const overtaken: VectorStore = Object.assign(Object.create(vectors), {
    update: (...[target, { removed, ...rest }]: Parameters<VectorStore['update']>) =>
      vectors.update(target, {
        ...rest,
        async *removed() {
          if (isFirst) {
            isFirst = false
            await update(other)
          }
          yield* removed()
        },
      }),
  })
  const { proof } = await update(overtaken)
  expect(proof).toMatchObject({ rows: 300, updated: { written: 2, deleted: 1 } })
  expect(await Array.fromAsync(readLoadRecords(output), ({ action }) => action)).toEqual([
    ...['load', 'update', 'switch', 'load'],
  ])
})
