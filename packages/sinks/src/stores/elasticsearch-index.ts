// Documents of an index of Elasticsearch or OpenSearch that any program wrote, as of one moment: by
// a scroll (elastic.co and docs.opensearch.org, "Scroll").

import type { IndexReader, IndexRow, IndexSelection } from '@reembed/evaluate'
import { ReembedError } from '@reembed/shared'
import { hidesVectors, openElasticClient, vectorOf } from './elasticsearch.ts'
import { chooseColumns } from './index-columns.ts'

const DOCUMENTS_AT_ONCE = 256
/** Between two requests: the reader may embed texts meanwhile. */
const KEPT = '10m'

interface Hit {
  readonly _id: string
  readonly _source?: Readonly<Record<string, unknown>>
}

export async function openElasticsearchIndex({ server, of }: IndexSelection): Promise<IndexReader> {
  const client = await openElasticClient(server)
  const { address, request } = client
  const index = of.index ?? ''
  const path = `/${encodeURIComponent(index)}`
  const { status, body } = await request('GET', `${path}/_mapping`, { expect: [404] })
  const [mapping] = status === 404 ? [] : Object.values<MappingReply>(body)
  if (mapping === undefined)
    throw new ReembedError('USAGE', `${address} has no index or alias '${index}'`, { option: 'store' })
  const properties = Object.entries(mapping.mappings?.properties ?? {})
  const names = properties.map(([name]) => name)
  const isVector = ({ type }: { readonly type?: string }): boolean => /^(dense|knn)_vector$/.test(type ?? '')
  const vectors = properties.filter(([, property]) => isVector(property)).map(([name]) => name)
  const { vector, text } = chooseColumns({ names, vectors }, of, `the index '${index}' at ${address}`)
  const _source = {
    includes: [vector, ...(text === undefined ? [] : [text])],
    ...(hidesVectors(client) && { exclude_vectors: false }),
  }
  return {
    address: `${address} index ${index}`,
    async *rows(signal) {
      const first = { size: DOCUMENTS_AT_ONCE, sort: ['_doc'], _source }
      let { body: found } = await request('POST', `${path}/_search?scroll=${KEPT}`, { json: first, signal })
      try {
        while (found.hits.hits.length > 0) {
          yield found.hits.hits.map(({ _id: id, _source: source = {} }: Hit): IndexRow => {
            const [values, written] = [source[vector], text === undefined ? undefined : source[text]]
            return {
              id,
              vector: values == null ? null : vectorOf(values as number[] | string),
              ...(text !== undefined && { text: typeof written === 'string' ? written : null }),
            }
          })
          const json = { scroll: KEPT, scroll_id: found._scroll_id }
          found = (await request('POST', '/_search/scroll', { json, signal })).body
        }
      } finally {
        await request('DELETE', '/_search/scroll', {
          json: { scroll_id: found._scroll_id },
          expect: [404],
        }).catch(() => {})
      }
    },
    async [Symbol.asyncDispose]() {},
  }
}

interface MappingReply {
  readonly mappings?: { readonly properties?: Readonly<Record<string, { readonly type?: string }>> }
}
