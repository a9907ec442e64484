// Jobs of loads: one shard of a finished run into a vector store. They need no endpoint, so their
// faults say nothing about a worker as an embedder: they neither suspend it nor prove it.

import type { Job, JobContext } from '@reembed/queue'
import { messageOf } from '@reembed/shared'
import type { Store } from '@reembed/store'

/** Writes shards into vector stores; `createShardLoader` of `@reembed/sinks` makes one. */
export interface ShardLoader extends AsyncDisposable {
  /** Names of the vector stores that it loads into, see `storeKey`. */
  readonly stores: readonly string[]
  /** Writes the shard of a job. Idempotent. Undefined for a load that is over. */
  load(
    output: Store,
    job: Job,
    options: { readonly signal: AbortSignal; readonly onWait: (reason: string) => void },
  ): Promise<{ readonly rows: number; readonly refused: readonly unknown[] } | undefined>
}

export interface LoadJobs {
  /** It has loaded a shard, and did not fail several in a row since. */
  readonly isProven: boolean
  /** Why its last job failed, or what its store answers now; undefined after a success. */
  readonly fault: string | undefined
  /** Returns the rows of the shard; undefined for a load that is over. */
  run(output: Store, job: Job, context: JobContext): Promise<number | undefined>
}

const FAULT_CHARS = 500
/** As for shards that are embedded: one failure may be the fault of its shard. */
const MAX_IN_A_ROW = 3

export function createLoadJobs(loader: ShardLoader): LoadJobs {
  let hasLoaded = false
  let failuresInARow = 0
  let fault: string | undefined
  const onWait = (reason: string): void => {
    fault = reason.slice(0, FAULT_CHARS)
  }
  return {
    get isProven() {
      return hasLoaded && failuresInARow < MAX_IN_A_ROW
    },
    get fault() {
      return fault
    },
    async run(output, job, { signal, reportFinished }) {
      try {
        const loaded = await loader.load(output, job, { signal, onWait })
        fault = undefined
        if (loaded === undefined) return undefined
        hasLoaded = true
        failuresInARow = 0
        const [rows, rejects] = [loaded.rows, loaded.refused.length]
        const unused = { tokens: 0, bytes: 0, truncated: 0, unreadTokens: 0 }
        await reportFinished({ documents: rows + rejects, rows, rejects, ...unused })
        return rows
      } catch (error) {
        if (!signal.aborted) {
          failuresInARow += 1
          onWait(messageOf(error))
        }
        throw error
      }
    },
  }
}
