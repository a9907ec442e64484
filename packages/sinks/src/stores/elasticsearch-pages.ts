// All documents of an index as of one moment, in pages: by a point in time, or by a scroll where
// the server has no order for one (elastic.co and docs.opensearch.org, "Point in time", "Scroll").
//
// The k-NN plugin of OpenSearch 3.5 closes the vectors of an index when a scroll that read them is
// released: every search of the index fails until its next refresh
// (opensearch-project/OpenSearch#20622).

import type { HttpClient } from '@reembed/shared'

export interface ElasticHit {
  readonly _id: string
  readonly _source?: Readonly<Record<string, unknown>>
  readonly sort?: readonly unknown[]
}

export interface PagedIndex {
  readonly client: Pick<HttpClient, 'request'>
  readonly index: string
  readonly search: { readonly size: number; readonly _source: object }
}

type Pages = AsyncGenerator<readonly ElasticHit[], void, undefined>

/** Between two requests: the reader may embed texts meanwhile. */
const KEPT = '10m'

/** By a point in time of OpenSearch, in the order `_shard_doc`, which it has since 3.3. */
export async function* pagesAtPointInTime(
  { client: { request }, index, search }: PagedIndex,
  signal?: AbortSignal,
): Pages {
  const opened = await request(
    'POST',
    `/${encodeURIComponent(index)}/_search/point_in_time?keep_alive=${KEPT}`,
    {
      signal,
    },
  )
  const { pit_id: id } = opened.body
  // `_shard_doc` alone is unique; with `_doc` in front of it the server need not sort.
  const sort = [{ _doc: 'asc' }, { _shard_doc: 'asc' }]
  let after: readonly unknown[] | undefined
  try {
    while (true) {
      const json = { ...search, sort, pit: { id, keep_alive: KEPT }, ...(after && { search_after: after }) }
      const { body } = await request('POST', '/_search', { json, signal })
      const hits: readonly ElasticHit[] = body.hits.hits
      if (hits.length === 0) return
      yield hits
      after = hits.at(-1)?.sort
    }
  } finally {
    const json = { pit_id: [id] }
    await request('DELETE', '/_search/point_in_time', { json, expect: [404] }).catch(() => {})
  }
}

/** By a scroll. */
export async function* pagesOfScroll(
  { client: { request }, index, search }: PagedIndex,
  signal?: AbortSignal,
): Pages {
  const first = { ...search, sort: ['_doc'] }
  const path = `/${encodeURIComponent(index)}/_search?scroll=${KEPT}`
  let { body: found } = await request('POST', path, { json: first, signal })
  try {
    while (found.hits.hits.length > 0) {
      yield found.hits.hits
      const json = { scroll: KEPT, scroll_id: found._scroll_id }
      found = (await request('POST', '/_search/scroll', { json, signal })).body
    }
  } finally {
    const json = { scroll_id: found._scroll_id }
    await request('DELETE', '/_search/scroll', { json, expect: [404] }).catch(() => {})
  }
}
