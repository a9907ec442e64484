// Compares the ids of a run with those of its base run. The ids of the base run are unique, and a
// shard with the same rows in both runs has the same ids, so only the ids of the other shards are
// read, and compared as sorted hashes: time grows with what changed, memory with nothing.
//
//   shards of the base run   | same | same | A        | same |
//   shards of the run        | same | same | B        | same |
//
// Each id of B that A has, once, cannot be in a shard that is the same. So the ids of the run are
// unique if those of B are, and A has all of them. A row is removed if A has its id and B has not.

import { openBuckets, plannedShards, wordsOf } from '@reembed/evaluate'
import {
  type Manifest,
  type ManifestShard,
  type Plan,
  readManifest,
  readManifestShards,
  readPlan,
} from '@reembed/protocol'
import { createSliceLocator, readIdHashes, undefinedIfCorrupt } from '@reembed/shard'
import { createIdHash, mapConcurrent, shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'

const SHARDS_AT_ONCE = 8
/** Set in the lowest bit of a hash for ids of the base run, clear for ids of the run. */
const OF_BASE = 1

export interface BaseIds {
  /** Rows of the base run whose ids the run does not have; null if the base run is unreadable. */
  readonly removedRows: number | null
  /** Whether the comparison proves that every id of the run is unique. */
  readonly areUnique: boolean
}

/**
 * Compares a run with its finished base run, if it has one.
 * @param shards the manifest rows of the run, in order
 * @param rows the number of rows of the run
 */
export async function compareBaseIds(
  store: Store,
  plan: Plan,
  shards: AsyncIterable<ManifestShard>,
  rows: number,
  signal?: AbortSignal,
): Promise<BaseIds> {
  if (plan.baseRun === undefined) return { removedRows: 0, areUnique: false }
  const base = await undefinedIfCorrupt(readPlan(store, plan.baseRun))
  const manifest = await undefinedIfCorrupt(readManifest(store, plan.baseRun))
  if (!base || !manifest) return UNREADABLE
  const same = { ofRun: new Uint8Array(plan.shards), ofBase: new Uint8Array(base.shards) }
  if (base.source === plan.source) {
    const run = { plan, shards }
    if (!(await markSame(store, run, { plan: base, manifest }, same))) return UNREADABLE
  }

  const buckets = await openBuckets(rows + manifest.totals.rows)
  try {
    const hash = createIdHash(plan.run)
    const add = async ({ run, shards }: Plan, isSame: Uint8Array, bit: number): Promise<void> => {
      const read = mapConcurrent(
        keysOf(run, shards, isSame),
        (key, stop) => readIdHashes(store, key, hash, { signal: stop }),
        { concurrency: SHARDS_AT_ONCE, signal },
      )
      for await (const hashes of read) {
        const words = wordsOf(hashes)
        for (let i = 0; i < words.length; i += 2) words[i] = ((words[i] ?? 0) & ~OF_BASE) | bit
        await buckets.add(hashes)
      }
    }
    await add(plan, same.ofRun, 0)
    if ((await ofBase(add(base, same.ofBase, OF_BASE))) === undefined) return UNREADABLE
    let [removedRows, areUnique] = [0, true]
    for await (const hashes of buckets.sorted()) {
      const words = wordsOf(hashes)
      /** Whether the hash at `j` is that at `i`, of the other run. */
      const isOther = (i: number, j: number): boolean =>
        words[j] === ((words[i] ?? 0) ^ OF_BASE) >>> 0 && words[j + 1] === words[i + 1]
      for (let i = 0; i < words.length; i += 2) {
        const isOfBase = ((words[i] ?? 0) & OF_BASE) === OF_BASE
        if (isOfBase && !isOther(i, i - 2)) removedRows += 1
        // An id of the run is followed by itself only in the base run.
        if (!isOfBase && !isOther(i, i + 2)) areUnique = false
      }
    }
    return { removedRows, areUnique }
  } finally {
    await buckets.close()
  }
}

const UNREADABLE: BaseIds = { removedRows: null, areUnique: false }

/**
 * Marks the shards that have the same rows in both runs: made from the same slice, with the same
 * body. Both plans are in corpus order, so both lists are read once.
 * @returns false if the base run is unreadable
 * @throws ReembedError CORRUPT for the plan of the run itself
 */
async function markSame(
  store: Store,
  run: { readonly plan: Plan; readonly shards: AsyncIterable<ManifestShard> },
  base: { readonly plan: Plan; readonly manifest: Manifest },
  same: { readonly ofRun: Uint8Array; readonly ofBase: Uint8Array },
): Promise<boolean> {
  const locator = createSliceLocator(store, base.plan)
  const baseShards = readManifestShards(store, base.manifest)
  const planned = plannedShards(store, run.plan)
  let at = -1
  let found: ManifestShard | undefined
  for await (const { bodySha256 } of run.shards) {
    const { value } = await planned.next()
    if (!value) return true
    const located = await ofBase(locator.shardOfSameSlice(value.slice))
    if (located === undefined) return false
    const baseShard = located.value
    if (baseShard === undefined) continue
    for (; at < baseShard; at += 1) {
      const next = await ofBase(baseShards.next())
      if (next === undefined) return false
      found = next.value.value || undefined
    }
    if (at !== baseShard || found?.bodySha256 !== bodySha256) continue
    same.ofRun[value.shard] = 1
    same.ofBase[baseShard] = 1
  }
  return true
}

/**
 * What was read of the base run; undefined if it is damaged or deleted. The new run is not damaged
 * by that, so it is no error.
 */
const ofBase = <T>(reading: Promise<T>): Promise<{ readonly value: T } | undefined> =>
  undefinedIfCorrupt(reading.then(value => ({ value })))

/** Keys of the shards whose rows differ between the runs. */
function* keysOf(run: string, shards: number, isSame: Uint8Array): Generator<string, void, undefined> {
  for (let shard = 0; shard < shards; shard += 1) if (isSame[shard] === 0) yield shardKey(run, shard, shards)
}
