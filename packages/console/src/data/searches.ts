// Free-text searches in two runs. A search reads every vector of its run, so that it is made once,
// when a reader asks for it, one at a time.

import { type SearchHit, searchRun } from '@reembed/evaluate'
import { messageOf, ReembedError } from '@reembed/shared'
import type { S3Options, Store } from '@reembed/store'

/** Finds an endpoint that embeds queries, when the first reader searches. */
export type SearchEndpoint = () => Promise<Parameters<typeof searchRun>[1]>

/** What is known about the search in one run. */
export type SearchState =
  | { readonly state: 'running' }
  | { readonly state: 'failed'; readonly message: string }
  | { readonly state: 'done'; readonly hits: readonly SearchHit[] }

export interface SearchReader {
  /** Whether the console has an endpoint to embed queries with. */
  readonly isPossible: boolean
  /** Starts the search unless it is made or in progress. Never waits for its end. */
  read(store: Store, run: string, query: string): SearchState
}

const KEPT = 40
const TOP = 10
/** A query is a question, not a document. */
export const QUERY_CHARS = 1_000
/** An endpoint that did not answer is asked again. */
const FAILED_MS = 10_000

/**
 * @param endpoints several, because two runs may have different models
 * @param s3 access to the corpus, for the texts of documents
 */
export function createSearchReader(
  endpoints: readonly SearchEndpoint[],
  s3: S3Options,
  now: () => number = Date.now,
): SearchReader {
  const known = new Map<string, SearchState & { readonly untilMs?: number }>()
  let last: Promise<void> = Promise.resolve()

  async function hitsOf(store: Store, run: string, query: string): Promise<readonly SearchHit[]> {
    let mismatch: unknown
    for (const resolve of endpoints) {
      try {
        return await searchRun(store, await resolve(), { run, query, top: TOP, readTexts: true, s3 })
      } catch (error) {
        if (!(error instanceof ReembedError) || error.code !== 'MODEL_MISMATCH') throw error
        mismatch = error
      }
    }
    throw mismatch
  }

  return {
    isPossible: endpoints.length > 0,
    read(store, run, query) {
      const asked = query.slice(0, QUERY_CHARS)
      const key = `${store.url} ${run} ${asked}`
      const found = known.get(key)
      if (found !== undefined && (found.untilMs ?? Number.POSITIVE_INFINITY) > now()) return found
      const running: SearchState = { state: 'running' }
      known.set(key, running)
      last = last.then(async () => {
        try {
          known.set(key, { state: 'done', hits: await hitsOf(store, run, asked) })
        } catch (error) {
          known.set(key, { state: 'failed', message: messageOf(error), untilMs: now() + FAILED_MS })
        }
        for (const oldest of known.keys()) if (known.size > KEPT) known.delete(oldest)
      })
      return running
    },
  }
}
