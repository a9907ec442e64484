// Indexes the objects that cannot be cut by their size alone, a few at a time and each once.

import { indexObject, needsIndex, type ObjectIndex } from '@reembed/formats'
import type { SourceObject } from '@reembed/protocol'
import { mapConcurrent } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { IndexedObject } from './slice.ts'

const OBJECTS_AT_ONCE = 8

export interface ObjectIndexerOptions {
  readonly sliceBytes: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Returns a function that adds the index to each object, in order. Indexes are kept for the next
 * pass: some hundred bytes a slice.
 */
export function createObjectIndexer(
  store: Store,
  { sliceBytes, signal }: ObjectIndexerOptions,
): (objects: Iterable<SourceObject> | AsyncIterable<SourceObject>) => AsyncIterable<IndexedObject> {
  const indexes = new Map<string, ObjectIndex>()
  return objects =>
    mapConcurrent(
      objects,
      async (object, signal): Promise<IndexedObject> => {
        if (object.size === 0 || !needsIndex(object)) return object
        const known = indexes.get(object.key)
        const found = known ?? (await indexObject(store, object, { sliceBytes, signal }))
        indexes.set(object.key, found)
        return { ...object, index: found }
      },
      { concurrency: OBJECTS_AT_ONCE, signal },
    )
}
