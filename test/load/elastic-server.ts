// A real Elasticsearch or OpenSearch under test, by requests of its own.

import type { TestedStore } from './conformance.ts'
import { eitherModel } from './conformance.ts'

interface Hit {
  readonly _id: string
  readonly sort?: readonly unknown[]
  readonly _source: Readonly<Record<string, unknown>> & { readonly embedding: readonly number[] }
}
interface Found {
  readonly hits: { readonly hits: readonly Hit[] }
}

/** How the two differ. */
interface Product {
  readonly name: string
  /** The route of a point in time. */
  readonly moments: string
  readonly idOf: (reply: Readonly<Record<string, string>>) => string | undefined
  readonly closing: (id: string) => object
  readonly nearest: (vector: readonly number[]) => object
  readonly source: object | true
}

export const OPENSEARCH: Product = {
  name: 'opensearch',
  moments: '_search/point_in_time',
  idOf: ({ pit_id }) => pit_id,
  closing: id => ({ pit_id: [id] }),
  nearest: vector => ({ query: { knn: { embedding: { vector, k: 10 } } } }),
  source: true,
}

export const ELASTICSEARCH: Product = {
  name: 'elasticsearch',
  moments: '_pit',
  idOf: ({ id }) => id,
  closing: id => ({ id }),
  nearest: query_vector => ({ knn: { field: 'embedding', query_vector, k: 10, num_candidates: 100 } }),
  source: { exclude_vectors: false },
}

/** The server at a URL, without the indexes of earlier tests. */
export async function elasticServer(
  url: string,
  { name, moments, idOf, closing, nearest, source: _source }: Product,
): Promise<TestedStore> {
  async function request<T>(method: string, path: string, body?: object): Promise<T> {
    const reply = await fetch(`${url}${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
    })
    const text = await reply.text()
    if (!reply.ok) throw new Error(text)
    return JSON.parse(text) as T
  }

  const held = await request<{ readonly index: string }[]>('GET', '/_cat/indices?format=json')
  for (const { index } of held) if (/_([abcd])\1{10}/.test(index)) await request('DELETE', `/${index}`)

  return {
    url: `${name}+${url}`,
    async rows(target) {
      await request('POST', `/${target}/_refresh`)
      const all: Hit[] = []
      // A scroll would close the index of OpenSearch, see elasticsearch-pages.ts.
      const id = idOf(await request('POST', `/${target}/${moments}?keep_alive=5m`)) ?? ''
      const sort = [{ _doc: 'asc' }, { _shard_doc: 'asc' }]
      for (let after: Hit['sort']; ; after = all.at(-1)?.sort) {
        const page = { size: 1_000, sort, pit: { id }, search_after: after, _source }
        const { hits } = await request<Found>('POST', '/_search', page)
        if (hits.hits.length === 0) break
        all.push(...hits.hits)
      }
      await request('DELETE', `/${moments}`, closing(id))
      return all.map(({ _id: id, _source: { embedding, ...columns } }) => ({
        id,
        vector: Float32Array.from(embedding),
        columns,
      }))
    },
    search: name =>
      eitherModel(async vector => {
        const query = { size: 10, ...nearest(vector), _source }
        const { hits } = await request<Found>('POST', `/${name}/_search`, query)
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
}
