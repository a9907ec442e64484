// The recorded previews of a run. A page asks at each poll, so that a listing is kept for a while.

import { type PreviewRecord, readPreviews } from '@reembed/protocol'
import { createMemo } from '@reembed/shared'
import type { Store } from '@reembed/store'

export interface PreviewReader {
  /** Newest first. */
  read(store: Store, run: string): Promise<readonly PreviewRecord[]>
}

/** Previews that a reader can choose from, and runs whose previews are kept. */
const [SHOWN, KEPT] = [20, 20]
/** As often as a bucket is listed. */
const FRESH_MS = 30_000

export function createPreviewReader(now: () => number = Date.now): PreviewReader {
  const known = createMemo<string, readonly PreviewRecord[]>({ max: KEPT })
  return {
    read: (store, run) =>
      known.get(`${store.url} ${run} ${Math.floor(now() / FRESH_MS)}`, () => readPreviews(store, run, SHOWN)),
  }
}
