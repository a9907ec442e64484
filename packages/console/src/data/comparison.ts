// Comparisons of two runs for the page. A comparison reads every shard of both runs, so that it is
// made once, when a reader asks for it, one at a time.

import { compareVersions, type VersionComparison } from '@reembed/evaluate'
import { type Manifest, readManifest } from '@reembed/protocol'
import { isRunId, messageOf, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'

/** Two finished runs, compared. */
export interface ComparedRuns {
  readonly before: Manifest
  readonly after: Manifest
  readonly comparison: VersionComparison
}

/** What is known about the comparison of two runs. */
export type ComparisonState =
  /** The address names no two runs. */
  | { readonly state: 'unset' }
  | { readonly state: 'running'; readonly bytes: number }
  | { readonly state: 'failed'; readonly message: string; readonly untilMs?: number }
  | { readonly state: 'done'; readonly runs: ComparedRuns }

export interface ComparisonReader {
  /** Starts the comparison unless it is made or in progress. Never waits for its end. */
  read(store: Store, a: string | null, b: string | null): Promise<ComparisonState>
}

/** Comparisons that are kept; one holds the worst queries and the changed documents. */
const KEPT = 5
/**
 * A store that does not answer fails a comparison; a reader of its page starts it again after this.
 */
const FAILED_MS = 30_000

/** @param signal ends a comparison in progress */
export function createComparisonReader(signal: AbortSignal, now: () => number = Date.now): ComparisonReader {
  const known = new Map<string, ComparisonState>()
  let last: Promise<void> = Promise.resolve()

  async function start(store: Store, a: string, b: string, key: string): Promise<ComparisonState> {
    const [before, after] = await Promise.all([readManifest(store, a), readManifest(store, b)])
    const missing = before === undefined ? a : after === undefined ? b : undefined
    if (before === undefined || after === undefined)
      return { state: 'failed', message: `run ${missing} is not finished, or not in this output` }
    const running: ComparisonState = { state: 'running', bytes: before.totals.bytes + after.totals.bytes }
    known.set(key, running)
    last = last.then(async () => {
      try {
        const comparison = await compareVersions(store, before, after, { signal })
        known.set(key, { state: 'done', runs: { before, after, comparison } })
      } catch (error) {
        // Two runs without a common document stay so.
        const isFinal = error instanceof ReembedError && error.code === 'USAGE'
        const untilMs = isFinal ? Number.POSITIVE_INFINITY : now() + FAILED_MS
        known.set(key, { state: 'failed', message: messageOf(error), untilMs })
      }
      for (const oldest of known.keys()) if (known.size > KEPT) known.delete(oldest)
    })
    return running
  }

  return {
    async read(store, a, b) {
      if (a === null || b === null) return { state: 'unset' }
      if (!isRunId(a) || !isRunId(b)) return { state: 'failed', message: 'name two runs by their whole ids' }
      const key = `${store.url} ${a} ${b}`
      const found = known.get(key)
      const isOver = found?.state === 'failed' && (found.untilMs ?? 0) <= now()
      return found === undefined || isOver ? start(store, a, b, key) : found
    },
  }
}
