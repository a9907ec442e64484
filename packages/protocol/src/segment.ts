// Lists that are too long for one object: a plan's slices, a manifest's shards. Each segment is full but the last.

import { list, ReembedError, requireShape, type Shape } from '@reembed/shared'
import { getRows, type Store } from '@reembed/store'

export interface SegmentPosition {
  readonly segment: number
  /** Rows of a full segment, and of all together. */
  readonly size: number
  readonly total: number
  /** What a row is, and what says how many there are: for messages. */
  readonly rowNoun: string
  readonly owner: string
}

/** @throws ReembedError CORRUPT where a row has not the shape, or there are more or fewer than belong there. */
export async function readSegment<Row>(
  store: Store,
  key: string,
  shape: Shape,
  { segment, size, total, rowNoun, owner }: SegmentPosition,
): Promise<Row[]> {
  const what = `${key} in ${store.url} is damaged`
  const found = requireShape<Row[]>(list(shape), await getRows(store, key), what)
  const said = Math.min(size, total - segment * size)
  if (found.length === said) return found
  throw new ReembedError(
    'CORRUPT',
    `${what}: it has ${found.length} ${rowNoun} where the ${owner} has ${said}`,
  )
}
