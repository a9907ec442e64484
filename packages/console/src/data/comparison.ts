// Comparisons of two runs for the page. A comparison reads every shard of both runs.

import { compareVersions, type VersionComparison } from '@reembed/evaluate'
import { type Manifest, readManifest } from '@reembed/protocol'
import { count, counted } from '@reembed/render'
import { isRunId, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { createWorkQueue, type Work, type WorkQueueOptions } from './work-queue.ts'

/** Two finished runs, compared. */
export interface ComparedRuns {
  readonly before: Manifest
  readonly after: Manifest
  readonly comparison: VersionComparison
}

/** What is known about the comparison of two runs; `unset`: the address names no two runs. */
export type ComparisonState = { readonly state: 'unset' } | Work<ComparedRuns>

export interface ComparisonReader {
  /** Starts the comparison unless it is made or in progress. Never waits for its end. */
  read(store: Store, a: string | null, b: string | null): ComparisonState
}

/** Comparisons that are kept; one holds the worst queries and the changed documents. */
const KEPT = 5
/** A store that does not answer fails a comparison; a reader of its page starts it again later. */
const FAILED_MS = 30_000

export function createComparisonReader(
  options: Pick<WorkQueueOptions, 'signal' | 'unwantedMs' | 'now'>,
): ComparisonReader {
  const queue = createWorkQueue<ComparedRuns>({ ...options, kept: KEPT, failedMs: FAILED_MS })

  return {
    read(store, a, b) {
      if (a === null || b === null) return { state: 'unset' }
      if (!isRunId(a) || !isRunId(b)) return { state: 'failed', message: 'name two runs by their whole ids' }
      return queue.read(`${store.url} ${a} ${b}`, async (signal, show) => {
        const [before, after] = [await manifestOf(store, a), await manifestOf(store, b)]
        const onProgress = (done: number, of: number): void =>
          show(`${count(done)} of ${counted(of, 'shard')}`)
        return {
          before,
          after,
          comparison: await compareVersions(store, before, after, { signal, onProgress }),
        }
      })
    },
  }
}

async function manifestOf(store: Store, run: string): Promise<Manifest> {
  const manifest = await readManifest(store, run)
  if (manifest !== undefined) return manifest
  throw new ReembedError('RUN_NOT_FOUND', `run ${run} is not finished, or not in this output`)
}
