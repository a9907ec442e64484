// Keeps vector stores at the current version of an output: loads it, and switches searches to it. A
// run that is held is not the current version, so it is neither loaded nor switched to.

import { loadOfRun, readCurrent, readLoadRecordsOf, type Version } from '@reembed/protocol'
import { requireManifest } from '@reembed/shard'
import { messageOf } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { LoadQueue } from './fleet.ts'
import { loadRun } from './load.ts'
import type { LoadProgress } from './options.ts'
import { switchStore } from './switch.ts'
import type { VectorStore } from './vector-store.ts'

/** A shorter wait is not reported: the vector store may be overloaded for a moment. */
const LONG_WAIT_MS = 2_000

/** A vector store that follows the current version. */
export interface FollowedStore {
  /** The URL, see `openVectorStore`. */
  readonly url: string
  /** The name that searches use. */
  readonly name: string
  /** Updates the target that searches use in place where that is possible; see `LoadOptions`. */
  readonly update?: boolean | undefined
  /** `auto`: searches follow as well. `manual`: an operator switches them. */
  readonly switch: 'auto' | 'manual'
}

export interface FollowEvent {
  /** `waiting`: a load has written nothing for seconds. */
  readonly kind: 'loaded' | 'switched' | 'waiting' | 'failed'
  /** The URL without credentials; the name for a store that cannot be opened. */
  readonly store: string
  readonly name: string
  readonly run?: string | undefined
  readonly rows?: number | undefined
  readonly error?: string | undefined
  readonly waitingFor?: string | undefined
}

export interface FollowOptions {
  readonly open: (url: string) => Promise<VectorStore>
  /** Waits between two checks of the version; called for each store. */
  readonly pause: () => Promise<unknown>
  readonly onEvent: (event: FollowEvent) => void
  /** See `LoadOptions`. */
  readonly queue?: LoadQueue | undefined
  /** Recorded with loads and switches. */
  readonly by?: string | undefined
  readonly signal: AbortSignal
}

/**
 * Checks the current version until `signal` aborts, and brings each store to it. Each store is
 * followed by itself: one that is slow or fails delays no other.
 */
export async function followVersions(
  source: Store,
  stores: readonly FollowedStore[],
  options: FollowOptions,
): Promise<void> {
  await Promise.all(stores.map(store => followStore(source, store, options)))
}

async function followStore(
  source: Store,
  store: FollowedStore,
  { open, pause, onEvent, queue, by, signal }: FollowOptions,
): Promise<void> {
  /** The last failure, which is reported once. */
  let failure: string | undefined
  /** The version that the store was brought to: a check of it costs one read of the output. */
  let followed: number | undefined
  while (!signal.aborted) {
    try {
      const current = await readCurrent(source)
      if (current !== undefined && current.version !== followed) {
        await using vectors = await open(store.url)
        const options = { onEvent, queue, by, signal }
        const isDone = await followOnce(source, vectors, { ...store, ...current }, options)
        followed = isDone ? current.version : undefined
      }
      failure = undefined
    } catch (error) {
      if (signal.aborted) return
      const message = messageOf(error)
      if (failure !== message)
        onEvent({ kind: 'failed', store: store.name, name: store.name, error: message })
      failure = message
    }
    await pause().catch(() => {})
  }
}

/**
 * Loads a version unless it is loaded, and switches to it unless that was done for this version
 * before: an operator who switched back is not overruled. False if another version became current
 * while the load waited.
 */
async function followOnce(
  source: Store,
  vectors: VectorStore,
  { name, update, switch: mode, version, run }: FollowedStore & Version,
  { onEvent, queue, by, signal }: Pick<FollowOptions, 'onEvent' | 'queue' | 'by' | 'signal'>,
): Promise<boolean> {
  const { address: store } = vectors
  const records = await readLoadRecordsOf(source, vectors, name)
  if (loadOfRun(records, run) === undefined) {
    const replaced = new AbortController()
    const isReplaced = async () => (await readCurrent(source))?.version !== version
    const onWait = (waitingFor: string, isFirst: boolean): void => {
      if (isFirst) onEvent({ kind: 'waiting', store, name, run, waitingFor })
      // A store that does not answer now is asked again.
      isReplaced().then(
        is => is && replaced.abort(),
        () => {},
      )
    }
    const loaded = await loadRun(source, await requireManifest(source, run), vectors, {
      name,
      // An update changes what searches find.
      update: update && mode === 'auto',
      queue,
      by,
      signal: AbortSignal.any([signal, replaced.signal]),
      onProgress: watchWaits(onWait),
    }).catch((error: unknown) => {
      if (signal.aborted || !replaced.signal.aborted) throw error
    })
    if (loaded === undefined) return false
    onEvent({ kind: 'loaded', store, name, run, rows: loaded.proof.rows })
  }
  const isFollowed = records.some(record => record.action === 'switch' && record.version === version)
  if (mode === 'auto' && !isFollowed) {
    await switchStore(source, vectors, { name, by, signal })
    onEvent({ kind: 'switched', store, name, run })
  }
  return true
}

/** Calls `onLong` every 2 s of a wait, with its reason and whether that is a new one. */
function watchWaits(
  onLong: (waitingFor: string, isFirst: boolean) => void,
): (progress: LoadProgress) => void {
  let sinceMs: number | undefined
  let last: string | undefined
  return ({ waitingFor }) => {
    const nowMs = performance.now()
    if (waitingFor === undefined) sinceMs = undefined
    else if (sinceMs === undefined) sinceMs = nowMs
    else if (nowMs - sinceMs >= LONG_WAIT_MS) {
      sinceMs = nowMs
      onLong(waitingFor, waitingFor !== last)
      last = waitingFor
    }
  }
}
