// Keeps vector stores at the current version of an output: loads it, and switches searches to it. A
// run that is held is not the current version, so it is neither loaded nor switched to.

import { readCurrent, readLoadRecords, type Version } from '@reembed/protocol'
import { requireManifest } from '@reembed/shard'
import { messageOf } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { loadRun, targetOf } from './load.ts'
import { loadOf, switchStore } from './switch.ts'
import type { VectorStore } from './vector-store.ts'

/** A vector store that follows the current version. */
export interface FollowedStore {
  /** The URL, see `openVectorStore`. */
  readonly url: string
  /** The name that searches use. */
  readonly name: string
  /** `auto`: searches follow as well. `manual`: an operator switches them. */
  readonly switch: 'auto' | 'manual'
}

export interface FollowEvent {
  readonly kind: 'loaded' | 'switched' | 'failed'
  /** The URL without credentials; the name for a store that cannot be opened. */
  readonly store: string
  readonly name: string
  readonly run?: string | undefined
  readonly rows?: number | undefined
  readonly error?: string | undefined
}

export interface FollowOptions {
  readonly open: (url: string) => Promise<VectorStore>
  /** Waits between two checks of the version. */
  readonly pause: () => Promise<unknown>
  readonly onEvent: (event: FollowEvent) => void
  /** Recorded with loads and switches. */
  readonly by?: string | undefined
  readonly signal: AbortSignal
}

/** Checks the current version until `signal` aborts, and brings each store to it. */
export async function followVersions(
  source: Store,
  stores: readonly FollowedStore[],
  { open, pause, onEvent, by, signal }: FollowOptions,
): Promise<void> {
  /** The last failure of each store, which is reported once. */
  const failures = new Map<FollowedStore, string>()
  /** The version that each store was brought to: a check of it costs one read of the output. */
  const followed = new Map<FollowedStore, number>()
  while (!signal.aborted && stores.length > 0) {
    for (const store of stores) {
      try {
        const current = await readCurrent(source)
        if (current !== undefined && current.version !== followed.get(store)) {
          await using vectors = await open(store.url)
          await followOnce(source, vectors, { ...store, ...current }, { onEvent, by, signal })
          followed.set(store, current.version)
        }
        failures.delete(store)
      } catch (error) {
        if (signal.aborted) return
        const message = messageOf(error)
        if (failures.get(store) !== message)
          onEvent({ kind: 'failed', store: store.name, name: store.name, error: message })
        failures.set(store, message)
      }
    }
    await pause().catch(() => {})
  }
}

/**
 * Loads a version unless it is loaded, and switches to it unless that was done for this version
 * before: an operator who switched back is not overruled.
 */
async function followOnce(
  source: Store,
  vectors: VectorStore,
  { name, switch: mode, version, run }: FollowedStore & Version,
  { onEvent, by, signal }: Pick<FollowOptions, 'onEvent' | 'by' | 'signal'>,
): Promise<void> {
  const { address: store } = vectors
  const records = (await Array.fromAsync(readLoadRecords(source))).filter(
    record => record.address === store && record.name === name,
  )
  if (loadOf(records, targetOf(name, run)) === undefined) {
    const { proof } = await loadRun(source, await requireManifest(source, run), vectors, {
      name,
      by,
      signal,
    })
    onEvent({ kind: 'loaded', store, name, run, rows: proof.rows })
  }
  const isFollowed = records.some(record => record.action === 'switch' && record.version === version)
  if (mode === 'auto' && !isFollowed) {
    await switchStore(source, vectors, { name, by, signal })
    onEvent({ kind: 'switched', store, name, run })
  }
}
