// Loads into a real OpenSearch with the k-NN plugin: REEMBED_TEST_OPENSEARCH is its address, for
// example that of `test/opensearch/start.sh`. The indexes of these tests are deleted there.

import { eitherModel, proveLoads } from './conformance.ts'

const url = process.env.REEMBED_TEST_OPENSEARCH

interface Hit {
  readonly _id: string
  readonly sort?: readonly unknown[]
  readonly _source: Readonly<Record<string, unknown>> & { readonly embedding: readonly number[] }
}
interface Found {
  readonly hits: { readonly hits: readonly Hit[] }
}

async function request<T>(method: string, path: string, body?: object): Promise<T> {
  const reply = await fetch(`${url}${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    body: body === undefined ? null : JSON.stringify(body),
  })
  if (!reply.ok) throw new Error(await reply.text())
  return (await reply.json()) as T
}

proveLoads(
  'OpenSearch',
  url === undefined
    ? 'REEMBED_TEST_OPENSEARCH is not set; test/opensearch/start.sh starts a server'
    : undefined,
  async () => {
    await request('DELETE', `/${['a', 'b', 'c'].map(letter => `*_${letter.repeat(11)}*`)}`)
    return {
      url: `opensearch+${url}`,
      async rows(target) {
        await request('POST', `/${target}/_refresh`)
        const all: Hit[] = []
        // A scroll would close the index, see elasticsearch-pages.ts.
        const at = `/${target}/_search/point_in_time?keep_alive=5m`
        const { pit_id: id } = await request<{ pit_id: string }>('POST', at)
        const sort = [{ _doc: 'asc' }, { _shard_doc: 'asc' }]
        for (let after: Hit['sort']; ; after = all.at(-1)?.sort) {
          const page = { size: 1_000, sort, pit: { id }, search_after: after }
          const { hits } = await request<Found>('POST', '/_search', page)
          if (hits.hits.length === 0) break
          all.push(...hits.hits)
        }
        await request('DELETE', '/_search/point_in_time', { pit_id: [id] })
        return all.map(({ _id: id, _source: { embedding, ...columns } }) => ({
          id,
          vector: Float32Array.from(embedding),
          columns,
        }))
      },
      search: name =>
        eitherModel(async vector => {
          const query = { knn: { embedding: { vector, k: 10 } } }
          const { hits } = await request<Found>('POST', `/${name}/_search`, { size: 10, query })
          return hits.hits.map(({ _source }) => _source.embedding.length)
        }),
      async remove(target, id) {
        await request('DELETE', `/${target}/_doc/${encodeURIComponent(id)}?refresh=true`)
      },
      async change(target, id, vector) {
        const doc = { embedding: [...vector] }
        await request('POST', `/${target}/_update/${encodeURIComponent(id)}?refresh=true`, { doc })
      },
      async [Symbol.asyncDispose]() {},
    }
  },
  // JSON.parse of the test rounds integers above 2^53.
  { bits: true, compared: 'cosine', lossyColumns: ['bytes'] },
)
