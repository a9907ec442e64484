// All points of a collection of Qdrant, in the order of their ids, by `points/scroll`
// (api.qdrant.tech/api-reference/points/scroll-points): a reply names the id with which the next
// one begins. Ids are unsigned integers of 64 bits or UUIDs.

import { mayBeRounded, parseExactJson, toText } from '@reembed/formats'
import { type HttpClient, LIMITS, REPLY_TOO_LONG, ReembedError, type RetryOptions } from '@reembed/shared'

export interface QdrantPoint {
  /** An integer beyond 2^53 is a bigint. */
  readonly id: string | number | bigint
  readonly vector?: readonly number[] | Readonly<Record<string, readonly number[]>> | null
  readonly payload?: Readonly<Record<string, unknown>> | null
}

export interface ScrolledCollection {
  readonly client: Pick<HttpClient, 'address' | 'request'>
  readonly collection: string
  /** Names of vectors, all, or none. */
  readonly withVector: boolean | readonly string[]
  /** Whether each number of a payload keeps its digits; else ids alone do. */
  readonly exact: boolean
}

interface Page {
  readonly points: readonly QdrantPoint[]
  readonly next_page_offset?: QdrantPoint['id'] | null
}

interface Reply {
  readonly result?: Partial<Page>
}

const POINTS_AT_ONCE = 256

/**
 * Reads all points, some at a time. A reply over the limit is asked for again with a quarter of the
 * points; behind a reply whose length fits twice, twice as many are asked for.
 * @throws ReembedError STORE_UNREACHABLE, STORE_ACCESS_DENIED; USAGE for a point over the limit, or
 * for a server that sends ids in another order
 */
export async function* scrollPoints(
  { client: { address, request }, collection, withVector, exact }: ScrolledCollection,
  options: RetryOptions = {},
): AsyncGenerator<readonly QdrantPoint[], void, undefined> {
  const path = `/collections/${encodeURIComponent(collection)}/points/scroll`
  let limit = POINTS_AT_ONCE
  let offset: QdrantPoint['id'] | null | undefined
  let bytes = 0
  const parse = (text: string): unknown => {
    bytes = Buffer.byteLength(text)
    return exact ? parseExactly(text) : parseIdsExactly(text)
  }
  do {
    const body = { limit, with_payload: true, with_vector: withVector, ...(offset != null && { offset }) }
    const page = await request('POST', path, {
      // JSON.stringify refuses a bigint.
      text: { body: toText(body) ?? '', type: 'application/json' },
      parse,
      ...options,
    }).catch((error: unknown) => {
      if (!(error instanceof ReembedError) || error.reason !== REPLY_TOO_LONG) throw error
      if (limit === 1) throw pointTooLarge(address, collection, offset)
      limit = Math.ceil(limit / 4)
    })
    if (page === undefined) continue
    const { points, next_page_offset: next } = page.body.result as Page
    if (next != null && offset != null && !isBehind(next, offset)) {
      throw new ReembedError(
        'USAGE',
        `${address} continues ${collection} at the point ${next} after ${offset}, which is no order of ids: check the version of Qdrant, and whether a proxy answers instead`,
      )
    }
    yield points
    if (next == null) return
    if (2 * bytes < LIMITS.sinkReplyBytes) limit = Math.min(2 * limit, POINTS_AT_ONCE)
    offset = next
  } while (true)
}

const parseExactly = (text: string): unknown => (mayBeRounded(text) ? parseExactJson(text) : JSON.parse(text))

/** Vectors have many digits, so that their numbers are not read exactly. */
function parseIdsExactly(text: string): unknown {
  const reply: Reply = JSON.parse(text)
  const { points = [], next_page_offset: next } = reply.result ?? {}
  const isRounded = (id: unknown): boolean => typeof id === 'number' && !Number.isSafeInteger(id)
  if (!isRounded(next) && !points.some(({ id }) => isRounded(id))) return reply
  const { result } = parseExactJson(text) as Reply
  return {
    result: {
      points: points.map((point, i) => ({ ...point, id: result?.points?.[i]?.id })),
      next_page_offset: result?.next_page_offset,
    },
  }
}

/** Integers are in front of UUIDs, which are written in one way. */
function isBehind(id: QdrantPoint['id'], before: QdrantPoint['id']): boolean {
  if (typeof id === 'string') return typeof before !== 'string' || id > before
  return typeof before !== 'string' && id > before
}

function pointTooLarge(address: string, collection: string, id: unknown): ReembedError {
  const which = id == null ? 'the first point' : `the point ${id}`
  return new ReembedError(
    'USAGE',
    `${which} of ${collection} at ${address} does not fit into a reply: remove what its payload holds beside texts`,
  )
}
