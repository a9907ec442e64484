// Loads into Elasticsearch: a stand-in of the API that it shares with OpenSearch, and a real one at
// REEMBED_TEST_ELASTICSEARCH, for example that of `test/elasticsearch/start.sh`. The indexes of
// these tests are deleted there.

import { putVersion, readLoadRecords } from '@reembed/protocol'
import { dropTarget, loadRun, openVectorStore, switchStore, type VectorStore } from '@reembed/sinks'
import { afterEach, expect, test, vi } from 'vitest'
import { makeRun } from '../export/run.ts'
import { startElasticsearch } from '../parts/elasticsearch.ts'
import { memoryStore } from '../shard/parts.ts'
import { eitherModel, proveLoads } from './conformance.ts'
import { ELASTICSEARCH, elasticServer } from './elastic-server.ts'

afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllGlobals()
})

/** Answers requests of this method and path, and returns the bodies of all such requests. */
function intercept(request: RegExp, answer: (body: string) => Response | undefined): string[] {
  const bodies: string[] = []
  const { fetch } = globalThis
  vi.stubGlobal('fetch', async (url: string, init: RequestInit = {}) => {
    if (!request.test(`${init.method} ${new URL(url).pathname}`)) return fetch(url, init)
    bodies.push(String(init.body))
    return answer(String(init.body)) ?? fetch(url, init)
  })
  return bodies
}

const real = process.env.REEMBED_TEST_ELASTICSEARCH

proveLoads(
  'Elasticsearch',
  real === undefined
    ? 'REEMBED_TEST_ELASTICSEARCH is not set; test/elasticsearch/start.sh starts a server'
    : undefined,
  () => elasticServer(real ?? '', ELASTICSEARCH),
  // JSON.parse of the test rounds integers above 2^53.
  { bits: true, compared: 'cosine', lossyColumns: ['bytes'] },
)

proveLoads(
  'Elasticsearch 9.3 (stand-in)',
  undefined,
  async () => {
    const server = await startElasticsearch('9.3.1')
    const documents = (target: string) => server.indices.get(target)?.documents
    const refresh = (target: string) => fetch(`${server.url}/${target}/_refresh`, { method: 'POST' })
    return {
      url: `elasticsearch+${server.url}`,
      rows: async target =>
        Array.from(documents(target) ?? [], ([id, { vector, source }]) => ({
          id,
          vector: Float32Array.from(vector),
          columns: source,
        })),
      async search(name) {
        return eitherModel(async query_vector => {
          const reply = await fetch(`${server.url}/${name}/_search`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ knn: { query_vector }, size: 10, _source: { exclude_vectors: false } }),
          })
          if (!reply.ok) throw new Error(await reply.text())
          const { hits } = (await reply.json()) as { hits: { hits: { _source: { embedding: number[] } }[] } }
          return hits.hits.map(({ _source }) => _source.embedding.length)
        })
      },
      async remove(target, id) {
        documents(target)?.delete(id)
        await refresh(target)
      },
      async change(target, id, vector) {
        const found = documents(target)?.get(id)
        if (found) found.vector = [...vector]
        await refresh(target)
      },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  },
  // JSON.parse of the stand-in rounds integers above 2^53.
  { bits: true, compared: 'cosine', lossyColumns: ['bytes'] },
)

test.each([
  ['Elasticsearch 9.3', '9.3.0', 'elasticsearch', 'base64'],
  ['Elasticsearch 8.15', '8.15.2', 'elasticsearch', 'numbers'],
  ['OpenSearch 3.2', '3.2.0', 'opensearch', 'numbers'],
] as const)(
  '%s is loaded without refreshes, then refreshed by its default',
  async (_, version, product, sent) => {
    await using server = await startElasticsearch(version, product)
    const output = memoryStore()
    const { manifest } = await makeRun(output)
    await using vectors = await openVectorStore(`${product}+${server.url}`)
    const { record, proof } = await loadRun(output, manifest, vectors)
    expect(proof).toMatchObject({ rows: 300, compared: 'cosine' })
    expect(server.sent).toEqual(new Set([sent]))
    expect(server.refreshedWith).toEqual(new Set(['-1']))
    expect(server.indices.get(record.target)?.refresh).toBeNull()
  },
)

test('documents that the server refuses are listed with its reason, and a long id with ours', async () => {
  await using server = await startElasticsearch('9.3.0')
  const output = memoryStore()
  const long = 'i'.repeat(600)
  const { manifest } = await makeRun(output, {
    edit: row => (row === 5 ? { lang: 'x'.repeat(40_000) } : row === 6 ? { id: long } : {}),
  })
  await using vectors = await openVectorStore(`elasticsearch+${server.url}`)
  const { proof, refused } = await loadRun(output, manifest, vectors)
  expect(proof).toMatchObject({ rows: 298, refused: 2 })
  expect(refused).toEqual(
    expect.arrayContaining([
      { id: long, reason: 'the id has 600 bytes, and _id takes at most 512' },
      {
        id: expect.stringContaining('doc-5'),
        reason: expect.stringContaining('immense term in field="lang"'),
      },
    ]),
  )
})

test('a load reports a lost reply and a full queue while it repeats the request', async () => {
  await using server = await startElasticsearch('9.3.0')
  const output = memoryStore()
  const { manifest } = await makeRun(output, { shards: 12, rows: 5 })
  await using vectors = await openVectorStore(`elasticsearch+${server.url}`)
  const waits = new Set<string>()
  await loadRun(output, manifest, vectors, {
    onProgress: ({ waitingFor }) => void (waitingFor && waits.add(waitingFor)),
  })
  expect([...waits].join('\n')).toMatch(/does not answer[\s\S]*answers 429 in _bulk: rejected execution/)
})

test('the reason for which the server does not create an index is named', async () => {
  await using server = await startElasticsearch('9.3.0')
  const output = memoryStore()
  const { manifest } = await makeRun(output)
  for (let i = 0; i < 1_000; i += 1) server.indices.set(`other-${i}`, {} as never)
  await using vectors = await openVectorStore(`elasticsearch+${server.url}`)
  await expect(loadRun(output, manifest, vectors)).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('does not create embeddings_abcdefghijkl: this cluster currently has'),
  })
})

test('a switch to an index that was dropped meanwhile ends with its name', async () => {
  await using server = await startElasticsearch('9.3.0')
  await using vectors = await openVectorStore(`elasticsearch+${server.url}`)
  await expect(vectors.switchTo('wiki', 'wiki_gone')).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('has no wiki_gone any more'),
  })
})

test.each([
  ['a gateway', '<html>not here</html>', 1],
  ['the server', '{"error":{"type":"aliases_not_found_exception","reason":"gone"},"status":404}', 8],
] as const)('a 404 of %s to a change of aliases ends the change', async (_, text, requests) => {
  await using server = await startElasticsearch('9.3.0')
  const { manifest } = await makeRun(memoryStore())
  await using vectors = await openVectorStore(`elasticsearch+${server.url}`)
  const target = { name: 'wiki', target: 'wiki_a', manifest, extra: [] }
  await vectors.prepare(target)
  const sent = intercept(/^POST \/_aliases$/, () => new Response(text, { status: 404 }))
  const error = { code: 'USAGE', message: expect.stringContaining(`(404): ${text}`) }
  await expect(vectors.switchTo('wiki', 'wiki_a')).rejects.toMatchObject(error)
  expect(sent).toHaveLength(requests)
  await expect(vectors.finish(target)).rejects.toMatchObject(error)
  expect(sent).toHaveLength(2 * requests)
})

test('a switch takes an alias off every other index, also where the first one is the target', async () => {
  await using server = await startElasticsearch('9.3.0')
  const output = memoryStore()
  await using vectors = await openVectorStore(`elasticsearch+${server.url}`)
  const { manifest } = await makeRun(output)
  await putVersion(output, { version: 1, run: manifest.run, seq: 1, manifestSha256: '' })
  const { record } = await loadRun(output, manifest, vectors, { name: 'wiki' })
  await vectors.prepare({ name: 'wiki', target: 'wiki_old', manifest, extra: [] })
  await fetch(`${server.url}/_aliases`, {
    method: 'POST',
    body: JSON.stringify({
      actions: [record.target, 'wiki_old'].map(index => ({ add: { index, alias: 'wiki' } })),
    }),
  })
  expect(await vectors.current('wiki')).toBe(record.target)
  await switchStore(output, vectors, { name: 'wiki' })
  const reply = await fetch(`${server.url}/_alias/wiki`)
  expect(Object.keys((await reply.json()) as object)).toEqual([record.target])
})

test('a switch that another one follows at once fails with what searches use, and is not recorded', async () => {
  await using server = await startElasticsearch('9.3.0')
  const output = memoryStore()
  await using vectors = await openVectorStore(`elasticsearch+${server.url}`)
  const { manifest } = await makeRun(output)
  await putVersion(output, { version: 1, run: manifest.run, seq: 1, manifestSha256: '' })
  await loadRun(output, manifest, vectors, { name: 'wiki' })
  await vectors.prepare({ name: 'wiki', target: 'wiki_other', manifest, extra: [] })
  const overtaken: VectorStore = Object.assign(Object.create(vectors), {
    async switchTo(name: string, target: string) {
      await vectors.switchTo(name, target)
      await vectors.switchTo(name, 'wiki_other')
    },
  })
  await expect(switchStore(output, overtaken, { name: 'wiki' })).rejects.toMatchObject({
    code: 'USAGE',
    reason: 'switched_meanwhile',
    message: expect.stringContaining('searches use wiki_other'),
  })
  const actions = await Array.fromAsync(readLoadRecords(output), ({ action }) => action)
  expect(actions).toEqual(['load'])
})

test('requests stay small for the shards after one that was slow', async () => {
  await using server = await startElasticsearch('9.3.0')
  const output = memoryStore()
  const { manifest } = await makeRun(output, { shards: 12, rows: 40 })
  await using vectors = await openVectorStore(`elasticsearch+${server.url}`)
  const { performance } = globalThis
  const now = performance.now.bind(performance)
  let laterMs = 0
  vi.spyOn(performance, 'now').mockImplementation(() => now() + laterMs)
  // The first shards, which are written at a time.
  const bodies = intercept(/\/_bulk$/, () => {
    if (bodies.length <= 4) laterMs += 11_000
    return undefined
  })
  await loadRun(output, manifest, vectors)
  const [first = 0, ...rest] = bodies.map(({ length }) => length)
  expect(Math.min(...rest)).toBeLessThan(0.8 * first)
})

test('a refused document whose reason is null is listed', async () => {
  await using server = await startElasticsearch('9.3.0')
  const output = memoryStore()
  const { manifest } = await makeRun(output, { shards: 1, rows: 1 })
  await using vectors = await openVectorStore(`elasticsearch+${server.url}`)
  intercept(/\/_bulk$/, body => {
    const { _id } = JSON.parse(body.split('\n')[0] ?? '').index
    const error = { type: 'null_pointer_exception', reason: null, caused_by: { reason: null } }
    return Response.json({ errors: true, items: [{ index: { _id, status: 400, error } }] })
  })
  const { refused } = await loadRun(output, manifest, vectors)
  expect(refused).toEqual([{ id: expect.any(String), reason: 'null_pointer_exception' }])
})

test('an OpenSearch that knows no `must_exist` is refused', async () => {
  await using old = await startElasticsearch('2.11.1', 'opensearch')
  await expect(openVectorStore(`opensearch+${old.url}`)).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('is an OpenSearch before 2.12'),
  })
  await using oldest = await startElasticsearch('2.12.0', 'opensearch')
  await using vectors = await openVectorStore(`opensearch+${oldest.url}`)
  expect(vectors.kind).toBe('opensearch')
})

test('a drop of a pattern instead of a run deletes no index', async () => {
  await using server = await startElasticsearch('9.3.0')
  await using vectors = await openVectorStore(`elasticsearch+${server.url}`)
  await expect(dropTarget(memoryStore(), vectors, '*')).rejects.toMatchObject({
    code: 'USAGE',
    message: "'*' is not the id of a run: give a whole id",
  })
})

test('an index with the name that searches use, and a server of another kind, are refused', async () => {
  await using server = await startElasticsearch('9.3.0')
  const output = memoryStore()
  const { manifest } = await makeRun(output)
  await fetch(`${server.url}/embeddings`, {
    method: 'PUT',
    body: JSON.stringify({
      settings: { index: {} },
      mappings: { properties: { embedding: { type: 'dense_vector', dims: 1 } } },
    }),
  })
  await using vectors = await openVectorStore(`elasticsearch+${server.url}`)
  await expect(loadRun(output, manifest, vectors)).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining("'embeddings'"),
  })
})
