// How many documents of the base are gone. Slices that did not change hold the same documents in
// both, so only the ids of the others are read, here and there, and compared as sorted hashes:
// memory does not grow with the corpus.

import { type Plan, readManifest, readPlan, type Slice } from '@reembed/protocol'
import { createSliceLocator, readIds, undefinedIfCorrupt } from '@reembed/shard'
import { hashOfId, mapConcurrent, shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { openBuckets } from './buckets.ts'
import { plannedShards } from './planned-shards.ts'

const SHARDS_AT_ONCE = 8
/** The lowest bit of a hash says whose it is. */
const OF_BASE = 1n

/**
 * Rows of the base whose ids are no rows of the run: 0 if there is no base, null if it can't be
 * read any more.
 */
export async function countRemovedRows(
  store: Store,
  plan: Plan,
  rows: number,
  signal?: AbortSignal,
): Promise<number | null> {
  if (plan.baseRun === undefined) return 0
  const [then, manifest] = [await readPlan(store, plan.baseRun), await readManifest(store, plan.baseRun)]
  if (!then || !manifest) return null

  const places = createSliceLocator(store, then)
  const [same, sameThen] = [new Uint8Array(plan.shards), new Uint8Array(then.shards)]
  const pair = async (slice: Slice, shard: number): Promise<void> => {
    const twin = await places.shardOfSameSlice(slice)
    if (twin === undefined) return
    same[shard] = 1
    sameThen[twin] = 1
  }
  if (then.source === plan.source) {
    for await (const { slice, shard } of plannedShards(store, plan)) {
      if (!(await isReadable(pair(slice, shard)))) return null
    }
  }

  const buckets = await openBuckets(rows + manifest.totals.rows)
  try {
    const add = async ({ run, shards }: Plan, isSame: Uint8Array, bit: bigint): Promise<void> => {
      const columns = mapConcurrent(keysOf(run, shards, isSame), key => readIds(store, key), {
        concurrency: SHARDS_AT_ONCE,
        signal,
      })
      for await (const ids of columns)
        for (const id of ids) await buckets.add((hashOfId(id) & ~OF_BASE) | bit)
    }
    await add(plan, same, 0n)
    if (!(await isReadable(add(then, sameThen, OF_BASE)))) return null
    let removed = 0
    for await (const hashes of buckets.sorted()) {
      for (const [i, hash] of hashes.entries()) {
        if ((hash & OF_BASE) === OF_BASE && hashes[i - 1] !== (hash ^ OF_BASE)) removed += 1
      }
    }
    return removed
  } finally {
    await buckets.close()
  }
}

/** What is damaged or deleted of the base is no fault of the run. */
const isReadable = async (reading: Promise<void>): Promise<boolean> =>
  (await undefinedIfCorrupt(reading.then(() => true))) === true

/** The shards that are not in both. */
function* keysOf(run: string, shards: number, isSame: Uint8Array): Generator<string, void, undefined> {
  for (let shard = 0; shard < shards; shard += 1) if (isSame[shard] === 0) yield shardKey(run, shard, shards)
}
