// Counts the documents of the base run that the run no longer has. Slices that did not change hold
// the same documents in both runs, so only the ids of the other slices are read, and compared as
// sorted hashes: memory does not grow with the corpus.

import { openBuckets, plannedShards } from '@reembed/evaluate'
import { type Plan, readManifest, readPlan, type Slice } from '@reembed/protocol'
import { createSliceLocator, readIds, undefinedIfCorrupt } from '@reembed/shard'
import { hashOfId, mapConcurrent, shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'

const SHARDS_AT_ONCE = 8
/** Set in the lowest bit of a hash for ids of the base run, clear for ids of the run. */
const OF_BASE = 1n

/**
 * Number of rows of the base run whose ids the run does not have: 0 without a base run, null if the
 * base run cannot be read any more.
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

  const locator = createSliceLocator(store, then)
  const [same, sameThen] = [new Uint8Array(plan.shards), new Uint8Array(then.shards)]
  const pair = async (slice: Slice, shard: number): Promise<void> => {
    const baseShard = await locator.shardOfSameSlice(slice)
    if (baseShard === undefined) return
    same[shard] = 1
    sameThen[baseShard] = 1
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

/**
 * False if the base run is damaged or deleted. The new run is not damaged by that, so it is no
 * error.
 */
const isReadable = async (reading: Promise<void>): Promise<boolean> =>
  (await undefinedIfCorrupt(reading.then(() => true))) === true

/** Keys of the shards whose slices differ between the runs. */
function* keysOf(run: string, shards: number, isSame: Uint8Array): Generator<string, void, undefined> {
  for (let shard = 0; shard < shards; shard += 1) if (isSame[shard] === 0) yield shardKey(run, shard, shards)
}
