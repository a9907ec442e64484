// Loads into Elasticsearch: a stand-in of the API that it shares with OpenSearch, and a real one at
// REEMBED_TEST_ELASTICSEARCH, for example that of `test/elasticsearch/start.sh`. The indexes of
// these tests are deleted there.

import { dropTarget, loadRun, openVectorStore } from '@reembed/sinks'
import { expect, test } from 'vitest'
import { makeRun } from '../export/run.ts'
import { startElasticsearch } from '../parts/elasticsearch.ts'
import { memoryStore } from '../shard/parts.ts'
import { eitherModel, proveLoads } from './conformance.ts'
import { ELASTICSEARCH, elasticServer } from './elastic-server.ts'

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
