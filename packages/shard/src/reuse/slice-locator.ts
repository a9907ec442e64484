// Finds positions of the corpus in another plan. Slices are ordered by key and offset, so binary
// search finds a position. It reads a few segments of the plan and holds two, whatever the length
// of the plan.

import { lastingKeyOf, type Plan, readSliceSegment, type Slice, type SlicePart } from '@reembed/protocol'
import { canonical, createMemo } from '@reembed/shared'
import { compareKeys, type Store } from '@reembed/store'

export interface SliceLocator {
  /** The shard that was made from exactly the same ranges of the same object versions. */
  shardOfSameSlice(slice: Slice): Promise<number | undefined>
  /** Whether the plan contains any object of the slice, changed or not. */
  containsAnyObject(slice: Slice): Promise<boolean>
  candidateShards(slice: Slice): Promise<Candidates>
}

/** Shards that may contain records of a slice, the most likely first. */
export interface Candidates {
  /** Those where the records are if the object was edited evenly, or in one place. */
  readonly near: readonly number[]
  /** The others between where the records are if nothing or everything before them was edited. */
  readonly far: readonly number[]
}

interface SourceOffset {
  readonly key: string
  readonly start: number
}

const KEPT_SEGMENTS = 2
/**
 * The records of a slice that spread over more shards than this are not all found; their texts are
 * embedded again.
 */
const MAX_CANDIDATES = 32

/** Finds the slices of another plan that contain a part, by key and offset. */
export function createSliceLocator(store: Store, plan: Plan): SliceLocator {
  const segments = Math.ceil(plan.shards / plan.slicesPerSegment)
  /** First position of each segment that was read: some hundred bytes for a thousand slices. */
  const segmentStarts = new Map<number, SourceOffset>()
  const kept = createMemo<number, Slice[]>({ max: KEPT_SEGMENTS })
  const lasting = (key: string): string => lastingKeyOf(plan.table, key)

  const rowsOf = (segment: number): Promise<Slice[]> =>
    kept.get(segment, () => readSliceSegment(store, plan, segment))

  async function sliceAt(shard: number): Promise<Slice | undefined> {
    const segment = Math.floor(shard / plan.slicesPerSegment)
    return (await rowsOf(segment))[shard - segment * plan.slicesPerSegment]
  }

  async function beginOf(segment: number): Promise<SourceOffset> {
    const known = segmentStarts.get(segment)
    if (known) return known
    const begin = placeOf((await rowsOf(segment))[0], lasting)
    segmentStarts.set(segment, begin)
    return begin
  }

  /** The last slice that begins at or before the position; the first slice if none does. */
  async function shardAt({ key, start }: SourceOffset): Promise<number> {
    const place = { key: lasting(key), start }
    const segment = await lastAtMost(segments, async at => compare(await beginOf(at), place))
    const rows = await rowsOf(segment)
    const row = await lastAtMost(rows.length, at => compare(placeOf(rows[at], lasting), place))
    return segment * plan.slicesPerSegment + row
  }

  /** Extent of the object in the other plan; undefined if the plan lacks it. */
  async function earlierExtent(key: string): Promise<number | undefined> {
    const part = (await sliceAt(await shardAt({ key, start: 0 })))?.parts.find(
      part => lasting(part.key) === lasting(key),
    )
    return part && extentOf(part)
  }

  /**
   * Where a position was before the object was edited: relative to its extent, which scattered
   * edits move only slightly; as far from its start, if the edits are behind it, and as far from
   * its end, if they are before it.
   */
  async function earlierOffsets({ key, ...part }: SlicePart, at: number): Promise<SourceOffset[]> {
    const extent = await earlierExtent(key)
    if (extent === undefined) return [{ key, start: at }]
    const relative = Math.floor((at / extentOf(part)) * extent)
    const starts = [relative, at, at - extentOf(part) + extent]
    return starts.map(start => ({ key, start: Math.max(0, Math.min(start, extent - 1)) }))
  }

  return {
    async shardOfSameSlice(slice) {
      const [first] = slice.parts
      if (first === undefined) return undefined
      const shard = await shardAt(first)
      return canonical(await sliceAt(shard)) === canonical(slice) ? shard : undefined
    },
    async containsAnyObject({ parts }) {
      for (const { key } of parts) if ((await earlierExtent(key)) !== undefined) return true
      return false
    },
    async candidateShards(slice) {
      const [first, last] = [slice.parts[0], slice.parts.at(-1)]
      if (first === undefined || last === undefined) return { near: [], far: [] }
      const froms = await Promise.all((await earlierOffsets(first, first.start)).map(shardAt))
      const tos = await Promise.all((await earlierOffsets(last, last.end - 1)).map(shardAt))
      const near = new Set<number>()
      for (const [i, from] of froms.entries()) {
        const to = Math.max(from, tos[i] ?? tos[0] ?? from)
        for (let shard = from; shard <= to && near.size < MAX_CANDIDATES; shard += 1) near.add(shard)
        for (const [beside, key] of [
          [to + 1, last.key],
          [from - 1, first.key],
        ] as const) {
          if (beside < 0 || beside >= plan.shards || near.has(beside)) continue
          if ((await sliceAt(beside))?.parts.some(part => lasting(part.key) === lasting(key)))
            near.add(beside)
        }
      }
      const far: number[] = []
      const end = Math.max(...froms, ...tos)
      // An object may span many thousands of shards.
      for (let shard = Math.min(...froms); shard < end && far.length < MAX_CANDIDATES; shard += 1)
        if (!near.has(shard)) far.push(shard)
      return { near: [...near], far }
    },
  }
}

const placeOf = (slice: Slice | undefined, lasting: (key: string) => string): SourceOffset => {
  const { key = '', start = 0 } = slice?.parts[0] ?? {}
  return { key: lasting(key), start }
}

const extentOf = ({ extent, size }: Pick<SlicePart, 'extent' | 'size'>): number => extent ?? size

const compare = (a: SourceOffset, b: SourceOffset): number => compareKeys(a.key, b.key) || a.start - b.start

/** The last of `count` indexes for which `order` is at most 0; 0 if none is. */
async function lastAtMost(count: number, order: (at: number) => Promise<number> | number): Promise<number> {
  let [low, high] = [0, count - 1]
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if ((await order(middle)) <= 0) low = middle
    else high = middle - 1
  }
  return low
}
