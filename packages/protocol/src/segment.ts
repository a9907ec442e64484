// Lists that are too long for one object: slices of a plan, shards of a manifest. Every segment
// except the last one is full.

import { list, ReembedError, requireShape, type Shape } from '@reembed/shared'
import { getRows, type Store } from '@reembed/store'

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
  shape: Shape,
  { segment, size, total, rowNoun, owner }: SegmentPosition,
): Promise<Row[]> {
  const what = `${key} in ${store.url} is damaged`
  const found = requireShape<Row[]>(list(shape), await getRows(store, key), what)
  const expected = Math.min(size, total - segment * size)
  if (found.length === expected) return found
  throw new ReembedError(
    'CORRUPT',
    `${what}: it has ${found.length} ${rowNoun} where the ${owner} has ${expected}`,
  )
}
