// Compares two runs over a sample of their common documents. The sample is chosen by the hash of
// the document id, so it is the same in both runs. Nothing that is held grows with the runs: hashes
// beyond memory are sorted in files, and only the row groups that hold the sample are read.

import type { Manifest, RowComparison } from '@reembed/protocol'
import { readIdHashes, readShard } from '@reembed/shard'
import { createIdHash, type IdHash, mapConcurrent, ReembedError, shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { type Buckets, openBuckets, wordsOf } from '../verify/buckets.ts'
import { compareRows, type Health, healthOf, type Rows } from './rows.ts'

export interface CompareOptions {
  /** Number of neighbours to compare per document. Default 10. */
  readonly top?: number | undefined
  /** Number of documents whose neighbours are compared. Default 200. */
  readonly queries?: number | undefined
  /** Size of the sample in which neighbours are searched. Default 20,000. */
  readonly documents?: number | undefined
  /** Called with the cosines of all neighbours found in the first run, and in the second. */
  readonly onNeighbourScores?: ((a: readonly number[], b: readonly number[]) => void) | undefined
  readonly signal?: AbortSignal | undefined
  /** Called after each shard that was read, with their number and that of all reads. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined
}

export interface Comparison extends RowComparison {
  /** Number of ids in both runs. */
  readonly common: number
  /** Number of ids only in the second run. */
  readonly added: number
  /** Number of ids only in the first run. */
  readonly removed: number
  readonly health: readonly [Health, Health]
}

const SHARDS_AT_ONCE = 8
/** The hash decides which documents are compared: with this key they are always the same. */
const SAMPLE_KEY = 'sample'

/**
 * Compares run `a` with run `b`. Reads all ids of both runs twice, and the row groups of the
 * sample. Holds the sample, and needs 8 bytes of temporary disk space per row of both runs.
 *
 * @throws ReembedError USAGE if the runs have no document in common
 * @throws the signal's reason
 */
export async function compareRuns(
  store: Store,
  a: Manifest,
  b: Manifest,
  {
    top = 10,
    queries: wantedQueries = 200,
    documents: wantedDocuments = 20_000,
    onNeighbourScores,
    signal,
    onProgress,
  }: CompareOptions = {},
): Promise<Comparison> {
  // The ids of all shards, then the vectors of the sample.
  let done = 0
  const read = (): void => onProgress?.(++done, 2 * (a.shards + b.shards))
  const hash = createIdHash(SAMPLE_KEY)
  const reading = { hash, read, signal }
  const buckets = await openBuckets(a.totals.rows + b.totals.rows)
  let found: Intersection
  try {
    await addHashes(store, a, buckets, { ...reading, bit: 0 })
    await addHashes(store, b, buckets, { ...reading, bit: OF_B })
    found = await intersect(buckets, wantedDocuments)
  } finally {
    await buckets.close()
  }
  const { common, onlyA, onlyB, sample } = found
  if (common === 0) {
    throw new ReembedError(
      'USAGE',
      `runs ${a.run} and ${b.run} have no document in common: compare runs over the same corpus`,
    )
  }
  const rowsA = await rowsOf(store, a, sample, reading)
  const rowsB = await rowsOf(store, b, sample, reading)
  const compared = await compareRows(rowsA, rowsB, {
    top,
    queries: wantedQueries,
    sameSpace: a.spaceId === b.spaceId,
    onNeighbourScores,
    signal,
  })
  return {
    common,
    added: onlyB,
    removed: onlyA,
    ...compared,
    health: [healthOf(rowsA, a.totals.rows), healthOf(rowsB, b.totals.rows)],
  }
}

interface Reading {
  readonly hash: IdHash
  /** Called after each shard. */
  readonly read: () => void
  readonly signal: AbortSignal | undefined
}

/** Set in the lowest bit of a hash for ids of the second run, clear for ids of the first one. */
const OF_B = 1

/** Adds the hashes of a run's ids, with `bit` as their lowest bit. */
async function addHashes(
  store: Store,
  { run, shards }: Manifest,
  buckets: Buckets,
  { hash, read, signal, bit }: Reading & { readonly bit: number },
): Promise<void> {
  for await (const { hashes } of shardHashes(store, { run, shards }, hash, signal)) {
    read()
    const words = wordsOf(hashes)
    for (let i = 0; i < words.length; i += 2) words[i] = ((words[i] ?? 0) & ~OF_B) | bit
    await buckets.add(hashes)
  }
}

const shardHashes = (
  store: Store,
  { run, shards }: Pick<Manifest, 'run' | 'shards'>,
  hash: IdHash,
  signal: AbortSignal | undefined,
) =>
  mapConcurrent(
    Array.from({ length: shards }, (_, shard) => shardKey(run, shard, shards)),
    async (key, stop) => ({ key, hashes: await readIdHashes(store, key, hash, { signal: stop }) }),
    { concurrency: SHARDS_AT_ONCE, signal },
  )

interface Intersection {
  readonly common: number
  readonly onlyA: number
  readonly onlyB: number
  /** The smallest common hashes, without their lowest bit, with their positions in the sample. */
  readonly sample: Map<bigint, number>
}

/** The smallest hashes are a pseudorandom choice of documents. */
async function intersect(buckets: Buckets, most: number): Promise<Intersection> {
  let [common, inA, inB] = [0, 0, 0]
  const smallest = createSmallest(most)
  for await (const hashes of buckets.sorted()) {
    const words = wordsOf(hashes)
    for (let i = 0; i < words.length; i += 2) {
      const low = words[i] ?? 0
      const isOfB = (low & OF_B) === OF_B
      if (isOfB) inB += 1
      else inA += 1
      // An id of the first run is followed by itself in the second run.
      if (isOfB || words[i + 2] !== (low | OF_B) >>> 0 || words[i + 3] !== words[i + 1]) continue
      common += 1
      smallest.add(words[i + 1] ?? 0, hashes, i / 2)
    }
  }
  const sample = new Map(smallest.values().map((hash, place) => [hash, place]))
  return { common, onlyA: inA - common, onlyB: inB - common, sample }
}

/** Keeps the `most` smallest of many hashes; holds at most twice as many. */
function createSmallest(most: number) {
  let held: bigint[] = []
  /** The upper half of the greatest hash that may be among them. */
  let limit = 0xffffffff
  function cut(): void {
    held = held.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)).slice(0, most)
  }
  return {
    /** @param high the upper half of the hash: most hashes are dropped without a bigint */
    add(high: number, hashes: BigUint64Array, index: number): void {
      if (high > limit) return
      held.push(hashes[index] ?? 0n)
      if (held.length < 2 * most + 1) return
      cut()
      limit = Number((held.at(-1) ?? 0n) >> 32n)
    },
    values(): bigint[] {
      cut()
      return held
    },
  }
}

async function rowsOf(
  store: Store,
  { run, shards, model: { dimensions } }: Manifest,
  sample: ReadonlyMap<bigint, number>,
  { hash, read, signal }: Reading,
): Promise<Rows> {
  const ids: string[] = Array(sample.size).fill('')
  const vectors = new Float32Array(sample.size * dimensions)
  const placeOf = (value: bigint): number | undefined => sample.get(value & ~BigInt(OF_B))
  for await (const { key, hashes } of shardHashes(store, { run, shards }, hash, signal)) {
    const rows: number[] = []
    for (const [row, value] of hashes.entries()) if (placeOf(value) !== undefined) rows.push(row)
    if (rows.length > 0) {
      for await (const batch of readShard(store, key, { rows, signal })) {
        for (const [row, id] of batch.ids.entries()) {
          const place = placeOf(hash.of(id))
          if (place === undefined) continue
          ids[place] = id
          vectors.set(batch.vectors.subarray(row * dimensions, (row + 1) * dimensions), place * dimensions)
        }
      }
    }
    read()
  }
  return { ids, vectors, dimensions }
}
