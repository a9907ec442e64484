// Finds ids that occur twice in a run while its shards are made, hours before finalize reads all of
// them. It knows the ids of the shards that this worker made; finalize stays the proof.

import type { Plan } from '@reembed/protocol'
import { readIds, undefinedIfCorrupt } from '@reembed/shard'
import { createMemo, ReembedError, shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'

export interface IdWatch {
  /** Watches one attempt to make a shard. */
  begin(of: { readonly store: Store; readonly plan: Plan }, shard: number): ShardIds
}

export interface ShardIds {
  /** @throws ReembedError DUPLICATE_ID for an id that this shard or an earlier one has */
  add(ids: readonly string[], signal: AbortSignal): Promise<void>
}

/** Of each of this many runs, the ids are known to a new attempt. */
const RUNS = 2
/** Ids of a run that are watched: 48 MiB at most. */
const MAX_IDS = 2 ** 21

/** @param options.maxIds ids of a run that are known at most; beyond, those of the attempt are */
export function createIdWatch({ maxIds = MAX_IDS }: { readonly maxIds?: number } = {}): IdWatch {
  const tables = createMemo<string, ShardTable>({ max: RUNS })
  return {
    begin({ store, plan }, shard) {
      const own = createOwnIds()
      // One table for the whole attempt: a later one would not know the ids of its first windows.
      const watched = tables.get(`${store.url} ${plan.run}`, async () => createShardTable(maxIds))
      return {
        async add(ids, signal) {
          const table = await watched
          own.begin(ids)
          for (const [i, id] of ids.entries()) {
            const other = table.put(hashOf(id), shard)
            if (other === undefined && !table.isFull) continue
            if (own.isRepeated(id, i)) throw duplicate(id, shard, shard)
            if (other === undefined || other === shard) continue
            // The other attempt may have failed, and equal hashes are not equal ids.
            const key = shardKey(plan.run, other, plan.shards)
            const written = await undefinedIfCorrupt(readIds(store, key, { signal }))
            if (written?.includes(id)) throw duplicate(id, other, shard)
          }
        },
      }
    },
  }
}

/**
 * The ids of one attempt. They enter a Set only when the table cannot tell that an id is new: its
 * hash is known, for example of an earlier attempt, or the table is full.
 */
function createOwnIds() {
  const batches: (readonly string[])[] = []
  const seen = new Set<string>()
  let [batch, at] = [0, 0]
  return {
    begin: (ids: readonly string[]): void => void batches.push(ids),
    /** Whether an id before the `i`-th of the last batch equals it. */
    isRepeated(id: string, i: number): boolean {
      for (; batch < batches.length - 1; batch += 1, at = 0)
        for (; at < (batches[batch]?.length ?? 0); at += 1) seen.add(batches[batch]?.[at] ?? '')
      for (; at < i; at += 1) seen.add(batches[batch]?.[at] ?? '')
      return seen.has(id)
    },
  }
}

const duplicate = (id: string, first: number, second: number): ReembedError =>
  new ReembedError(
    'DUPLICATE_ID',
    `duplicate ids: ${JSON.stringify(id)} (${first === second ? `twice in shard ${first}` : `in shards ${first} and ${second}`}). ` +
      'The run cannot be finished: make the ids unique, or choose another id field; the next run reuses what exists',
    { option: 'fields.id' },
  )

interface ShardTable {
  /** Whether new hashes are no longer entered. */
  readonly isFull: boolean
  /** The shard that was put last for this hash, if any, and puts `shard`. */
  put(hash: number, shard: number): number | undefined
}

/** An open-addressing hash table: a Map of two million numbers takes twice the memory. */
function createShardTable(maxIds: number): ShardTable {
  let hashes = new Float64Array(1024)
  let shards = new Uint32Array(1024)
  let count = 0

  /** Position of the hash, or of the free place for it; 0 marks a free place. */
  function placeOf(hash: number): number {
    const mask = hashes.length - 1
    let at = hash & mask
    while (hashes[at] !== 0 && hashes[at] !== hash) at = (at + 1) & mask
    return at
  }

  function grow(): void {
    const [before, values] = [hashes, shards]
    hashes = new Float64Array(2 * before.length)
    shards = new Uint32Array(2 * before.length)
    for (const [i, hash] of before.entries()) {
      if (hash === 0) continue
      const at = placeOf(hash)
      hashes[at] = hash
      shards[at] = values[i] ?? 0
    }
  }

  return {
    get isFull() {
      return count === maxIds
    },
    put(hash, shard) {
      let at = placeOf(hash)
      const known = hashes[at] === hash ? shards[at] : undefined
      if (known === undefined) {
        if (count === maxIds) return undefined
        count += 1
        if (2 * count > hashes.length) {
          grow()
          at = placeOf(hash)
        }
      }
      hashes[at] = hash
      shards[at] = shard
      return known
    },
  }
}

/** A hash of 52 bits over UTF-16 units that is never 0. */
function hashOf(id: string): number {
  let [low, high] = [0x811c9dc5, 0xcbf29ce4]
  for (let i = 0; i < id.length; i += 1) {
    const unit = id.charCodeAt(i)
    low = Math.imul(low ^ unit, 0x01000193)
    high = Math.imul(high ^ unit, 0x85ebca6b) ^ (high >>> 13)
  }
  low = Math.imul(low ^ (low >>> 15), 0x2c1b3c6d)
  return (high >>> 12) * 2 ** 32 + (low >>> 0) + 1
}
