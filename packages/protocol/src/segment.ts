// Lists that are too long for one object: slices of a plan, shards of a manifest. Every segment
// except the last one is full.

import { ReembedError } from '@reembed/shared'
import type { RowsKind, Store } from '@reembed/store'

export interface SegmentPosition {
  readonly segment: number
  /** Rows of a full segment, and of all segments. */
  readonly size: number
  readonly total: number
  /**
   * Used in error messages: the plural noun for rows, and the object that states the number of
   * rows.
   */
  readonly rowNoun: string
  readonly owner: string
}

/**
 * Reads one segment. @throws ReembedError CORRUPT if a row is invalid or the number of rows is
 * wrong
 */
export async function readSegment<Row>(
  store: Store,
  key: string,
  kind: RowsKind<Row>,
  { segment, size, total, rowNoun, owner }: SegmentPosition,
): Promise<Row[]> {
  const found = await kind.read(store, key)
  const expected = Math.min(size, total - segment * size)
  if (found.length === expected) return found
  throw new ReembedError(
    'CORRUPT',
    `${key} in ${store.url} is damaged: it has ${found.length} ${rowNoun} where the ${owner} has ${expected}`,
  )
}
