// Documents of an index of Elasticsearch or OpenSearch that any program wrote, as of one moment.

import type { IndexReader, IndexRow, IndexSelection } from '@reembed/evaluate'
import { LIMITS, ReembedError } from '@reembed/shared'
import { hasShardOrder, hidesVectors, openElasticClient, vectorOf } from './elasticsearch.ts'
import { type ElasticHit, pagesAtPointInTime, pagesOfScroll } from './elasticsearch-pages.ts'
import { chooseColumns } from './index-columns.ts'

const DOCUMENTS_AT_ONCE = 256
/** Of a value in a reply: sign, digits of a float, exponent, comma. */
const VALUE_CHARS = 16

export async function openElasticsearchIndex({ server, of }: IndexSelection): Promise<IndexReader> {
  const client = await openElasticClient(server)
  const { address, request } = client
  const index = of.index ?? ''
  const { status, body } = await request('GET', `/${encodeURIComponent(index)}/_mapping`, { expect: [404] })
  const [mapping] = status === 404 ? [] : Object.values<MappingReply>(body)
  if (mapping === undefined)
    throw new ReembedError('USAGE', `${address} has no index or alias '${index}'`, { option: 'store' })
  const properties = Object.entries(mapping.mappings?.properties ?? {})
  const names = properties.map(([name]) => name)
  const isVector = ({ type }: Property): boolean => /^(dense|knn)_vector$/.test(type ?? '')
  const vectors = properties.filter(([, property]) => isVector(property)).map(([name]) => name)
  const { vector, text } = chooseColumns({ names, vectors }, of, `the index '${index}' at ${address}`)
  const _source = {
    includes: [vector, ...(text === undefined ? [] : [text])],
    ...(hidesVectors(client) && { exclude_vectors: false }),
  }
  const { dims, dimension = dims ?? 1 } = mapping.mappings?.properties?.[vector] ?? {}
  // Vectors take half of a reply at most.
  const size = Math.floor(LIMITS.sinkReplyBytes / 2 / (VALUE_CHARS * dimension))
  const search = { size: Math.max(1, Math.min(DOCUMENTS_AT_ONCE, size)), _source }
  const pages = hasShardOrder(client) ? pagesAtPointInTime : pagesOfScroll
  return {
    address: `${address} index ${index}`,
    async *rows(signal) {
      for await (const hits of pages({ client, index, search }, signal)) {
        yield hits.map(({ _id: id, _source: source = {} }: ElasticHit): IndexRow => {
          const [values, written] = [source[vector], text === undefined ? undefined : source[text]]
          return {
            id,
            vector: values == null ? null : vectorOf(values as number[] | string),
            ...(text !== undefined && { text: typeof written === 'string' ? written : null }),
          }
        })
      }
    },
    async [Symbol.asyncDispose]() {},
  }
}

interface MappingReply {
  readonly mappings?: { readonly properties?: Readonly<Record<string, Property>> }
}

interface Property {
  readonly type?: string
  /** Of a vector: in Elasticsearch, ... */
  readonly dims?: number
  /** ... and in OpenSearch. */
  readonly dimension?: number
}
