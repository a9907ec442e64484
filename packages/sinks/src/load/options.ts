// What a load is asked for, reports and returns.

import type { LoadProof, LoadRecord, RefusedRow } from '@reembed/protocol'
import type { LoadQueue } from './fleet.ts'

export interface LoadOptions {
  /** The name that searches use; default `embeddings`. The target is named after it and the run. */
  readonly name?: string | undefined
  /**
   * Shards that are written at a time; default 4. Each holds one row group in memory; for LanceDB,
   * 32 MiB of vectors or one row group, and the copies that its client makes of them.
   */
  readonly concurrency?: number | undefined
  /**
   * Brings the target that searches use to the run in place, if both have vectors of one recipe:
   * writes what changed, and deletes what was removed. The run must be the current version.
   */
  readonly update?: boolean | undefined
  /**
   * Lets the workers of this queue write the shards, if one of them names the vector store. This
   * call follows them, builds the index and proves the load. Not for updates.
   */
  readonly queue?: LoadQueue | undefined
  /** Recorded with the load. */
  readonly by?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined
}

export interface LoadProgress {
  readonly step: 'write' | 'index' | 'compare'
  readonly shards: number
  readonly rows: number
  readonly leftMs?: number | undefined
  /** Set while the vector store refuses or does not answer: what it answered. */
  readonly waitingFor?: string | undefined
}

export interface LoadOutcome {
  readonly record: LoadRecord
  /** Shards and rows that were written since this call; the others were written before. */
  readonly written: {
    readonly shards: number
    readonly rows: number
    /** With a queue: false if no worker names the vector store, and this process wrote. */
    readonly byWorkers?: boolean | undefined
  }
  readonly proof: LoadProof
  /** The first rows that the vector store cannot hold; `readLoadedShards` lists them all. */
  readonly refused: readonly RefusedRow[]
  /** Why a run was loaded as a whole although an update was asked for. */
  readonly notUpdated?: string | undefined
}

/** Refused rows in an outcome. */
export const SHOWN_REFUSED = 10
