// Free-text searches in two runs. A search reads every vector of its run.

import { type SearchHit, searchRun } from '@reembed/evaluate'
import { counted } from '@reembed/render'
import { LIMITS, ReembedError } from '@reembed/shared'
import type { S3Options, Store } from '@reembed/store'
import { createWorkQueue, type Work, type WorkQueueOptions } from './work-queue.ts'

/** Finds an endpoint that embeds queries, when the first reader searches. */
export type SearchEndpoint = () => Promise<Parameters<typeof searchRun>[1]>

/** What is known about the search in one run. */
export type SearchState = Work<readonly SearchHit[]>

export interface SearchReader {
  /** Whether the console has an endpoint to embed queries with. */
  readonly isPossible: boolean
  /** Starts the search unless it is made or in progress. Never waits for its end. */
  read(store: Store, run: string, query: string): SearchState
}

const KEPT = 40
const TOP = 10
/** A query is a question, not a document. */
export const QUERY_CHARS: number = LIMITS.queryCharacters
/** The part of a text that is embedded. */
export const askedOf = (text: string): string => text.slice(0, QUERY_CHARS)
/** An endpoint that did not answer is asked again. */
const FAILED_MS = 10_000

/**
 * @param endpoints several, because two runs may have different models
 * @param s3 access to the corpus, for the texts of documents
 */
export function createSearchReader(
  endpoints: readonly SearchEndpoint[],
  s3: S3Options,
  options: Pick<WorkQueueOptions, 'signal' | 'unwantedMs' | 'now'>,
): SearchReader {
  const queue = createWorkQueue<readonly SearchHit[]>({ ...options, kept: KEPT, failedMs: FAILED_MS })

  async function hitsOf(
    store: Store,
    of: { readonly run: string; readonly query: string },
    signal: AbortSignal,
    onProgress: (done: number, of: number) => void,
  ): Promise<readonly SearchHit[]> {
    const request = { ...of, top: TOP, readTexts: true, s3, signal, onProgress }
    let mismatch: unknown
    for (const resolve of endpoints) {
      try {
        return await searchRun(store, await resolve(), request)
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
      const asked = askedOf(query)
      return queue.read(`${store.url} ${run} ${asked}`, (signal, show) =>
        hitsOf(store, { run, query: asked }, signal, (done, of) =>
          show(`${done} of ${counted(of, 'shard')}`),
        ),
      )
    },
  }
}
