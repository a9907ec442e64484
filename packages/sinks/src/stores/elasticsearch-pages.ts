// All documents of an index as of one moment, in pages: by a point in time, or by a scroll where
// the server has no order for one (elastic.co and docs.opensearch.org, "Point in time", "Scroll").
//
// The k-NN plugin of OpenSearch 3.5 closes the vectors of an index when a scroll that read them is
// released: every search of the index fails until its next refresh
// (opensearch-project/OpenSearch#20622).

import { type HttpClient, LIMITS, REPLY_TOO_LONG, ReembedError } from '@reembed/shared'

export interface ElasticHit {
  readonly _id: string
  readonly _source?: Readonly<Record<string, unknown>>
  readonly sort?: readonly unknown[]
}

export interface PagedIndex {
  readonly client: Pick<HttpClient, 'address' | 'request'>
  readonly index: string
  readonly search: { readonly size: number; readonly _source: object }
}

type Pages = AsyncGenerator<readonly ElasticHit[], void, undefined>

/** Between two requests: the reader may embed texts meanwhile. */
const KEPT = '10m'
/** A page has an eighth more documents than the one before it. */
const GROWTH = 8

/**
 * By a point in time of OpenSearch, in the order `_shard_doc`, which it has since 3.3. A page that
 * exceeds a reply is read again with half the documents; later ones grow slowly.
 */
export async function* pagesAtPointInTime(
  { client: { address, request }, index, search }: PagedIndex,
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
  let last: ElasticHit | undefined
  let { size } = search
  try {
    while (true) {
      const position = { sort, pit: { id, keep_alive: KEPT }, ...(last && { search_after: last.sort }) }
      const json = { ...search, size, ...position }
      const page = await request('POST', '/_search', { json, signal }).catch((error: unknown) => {
        if (!isTooLong(error)) throw error
        if (size === 1) throw documentTooLarge(address, index, last)
        size = Math.ceil(size / 2)
      })
      if (page === undefined) continue
      const hits: readonly ElasticHit[] = page.body.hits.hits
      if (hits.length === 0) return
      yield hits
      last = hits.at(-1)
      size = Math.min(search.size, size + Math.ceil(size / GROWTH))
    }
  } finally {
    const json = { pit_id: [id] }
    await request('DELETE', '/_search/point_in_time', { json, expect: [404] }).catch(() => {})
  }
}

/**
 * By a scroll. A request for the next page moves the scroll on even if its reply is lost, so it is
 * not repeated.
 */
export async function* pagesOfScroll(
  { client: { address, request }, index, search }: PagedIndex,
  signal?: AbortSignal,
): Pages {
  const first = { ...search, sort: ['_doc'] }
  const path = `/${encodeURIComponent(index)}/_search?scroll=${KEPT}`
  const failed = (error: unknown): never => {
    const again = `read the index '${index}' at ${address} again`
    if (isTooLong(error)) {
      throw new ReembedError(
        'USAGE',
        `${search.size} documents of the index '${index}' at ${address} exceed a reply of ${LIMITS.sinkReplyBytes} bytes, and a scroll has pages of one size: shorten their texts, or use OpenSearch 3.3 or newer`,
        { option: 'store', cause: error },
      )
    }
    if (!(error instanceof ReembedError) || error.retry !== 'requeue') throw error
    throw new ReembedError(error.code, `${error.message}; a page of the scroll may be lost: ${again}`, {
      cause: error,
    })
  }
  let { body: found } = await request('POST', path, { json: first, signal }).catch(failed)
  try {
    while (found.hits.hits.length > 0) {
      yield found.hits.hits
      const json = { scroll: KEPT, scroll_id: found._scroll_id }
      found = (await request('POST', '/_search/scroll', { json, signal, once: true }).catch(failed)).body
    }
  } finally {
    const json = { scroll_id: found._scroll_id }
    await request('DELETE', '/_search/scroll', { json, expect: [404] }).catch(() => {})
  }
}

const isTooLong = (error: unknown): boolean =>
  error instanceof ReembedError && error.reason === REPLY_TOO_LONG

function documentTooLarge(address: string, index: string, last: ElasticHit | undefined): ReembedError {
  const which = last === undefined ? 'the first document' : `the document after ${last._id}`
  return new ReembedError(
    'USAGE',
    `${which} of the index '${index}' at ${address} exceeds a reply of ${LIMITS.sinkReplyBytes} bytes: shorten its text`,
    { option: 'store' },
  )
}
