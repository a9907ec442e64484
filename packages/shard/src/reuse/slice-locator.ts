// Where something of the corpus lies in another plan. Slices stand in the order of keys and offsets, so a place is
// found by halving: a few segments are read, and two are held, whatever the plan's length.

import { type Plan, readSliceSegment, type Slice, type SlicePart } from '@reembed/protocol'
import { canonical, createMemo } from '@reembed/shared'
import { compareKeys, type Store } from '@reembed/store'

export interface SliceLocator {
  /** The shard that was made from exactly these ranges of exactly these objects. */
  shardOfSameSlice(slice: Slice): Promise<number | undefined>
  /** Whether any object of the slice was there, changed or not. */
  containsAnyObject(slice: Slice): Promise<boolean>
  /** Shards that may hold what now lies in `slice`, the likeliest first. */
  candidateShards(slice: Slice): Promise<number[]>
}

interface SourceOffset {
  readonly key: string
  readonly start: number
}

const KEPT_SEGMENTS = 2
/** Beyond so many shards, what stood in a slice has been scattered. */
const MAX_CANDIDATES = 32

export function createSliceLocator(store: Store, plan: Plan): SliceLocator {
  const segments = Math.ceil(plan.shards / plan.slicesPerSegment)
  /** Where each segment begins, as far as it was looked at: some hundred bytes for a thousand slices. */
  const segmentStarts = new Map<number, SourceOffset>()
  const kept = createMemo<number, Slice[]>({ max: KEPT_SEGMENTS })

  const rowsOf = (segment: number): Promise<Slice[]> =>
    kept.get(segment, () => readSliceSegment(store, plan, segment))

  async function sliceAt(shard: number): Promise<Slice | undefined> {
    const segment = Math.floor(shard / plan.slicesPerSegment)
    return (await rowsOf(segment))[shard - segment * plan.slicesPerSegment]
  }

  async function beginOf(segment: number): Promise<SourceOffset> {
    const known = segmentStarts.get(segment)
    if (known) return known
    const begin = placeOf((await rowsOf(segment))[0])
    segmentStarts.set(segment, begin)
    return begin
  }

  /** The last slice that begins at or before the place; the first one if none does. */
  async function shardAt(place: SourceOffset): Promise<number> {
    const segment = await lastAtMost(segments, async at => compare(await beginOf(at), place))
    const rows = await rowsOf(segment)
    const row = await lastAtMost(rows.length, at => compare(placeOf(rows[at]), place))
    return segment * plan.slicesPerSegment + row
  }

  /** How long the object was then, if it was there. */
  async function earlierExtent(key: string): Promise<number | undefined> {
    const part = (await sliceAt(await shardAt({ key, start: 0 })))?.parts.find(part => part.key === key)
    return part && extentOf(part)
  }

  /** The same place relative to the object's length: what is edited here and there moves what follows a little. */
  async function earlierOffset({ key, ...part }: SlicePart, at: number): Promise<SourceOffset> {
    const extent = await earlierExtent(key)
    return { key, start: extent === undefined ? at : Math.floor((at / extentOf(part)) * extent) }
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
      if (first === undefined || last === undefined) return []
      const from = await shardAt(await earlierOffset(first, first.start))
      const to = Math.max(from, await shardAt(await earlierOffset(last, last.end - 1)))
      const shards = Array.from({ length: Math.min(MAX_CANDIDATES, to - from + 1) }, (_, i) => from + i)
      for (const [beside, key] of [
        [to + 1, last.key],
        [from - 1, first.key],
      ] as const) {
        if (beside < 0 || beside >= plan.shards || shards.includes(beside)) continue
        if ((await sliceAt(beside))?.parts.some(part => part.key === key)) shards.push(beside)
      }
      return shards
    },
  }
}

const placeOf = (slice: Slice | undefined): SourceOffset => {
  const { key = '', start = 0 } = slice?.parts[0] ?? {}
  return { key, start }
}

const extentOf = ({ extent, size }: Pick<SlicePart, 'extent' | 'size'>): number => extent ?? size

const compare = (a: SourceOffset, b: SourceOffset): number => compareKeys(a.key, b.key) || a.start - b.start

/** The last of `count` for which `order` is not above 0; 0 if there is none. */
async function lastAtMost(count: number, order: (at: number) => Promise<number> | number): Promise<number> {
  let [low, high] = [0, count - 1]
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if ((await order(middle)) <= 0) low = middle
    else high = middle - 1
  }
  return low
}
