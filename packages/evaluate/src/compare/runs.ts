// Compares two runs over a sample of their common documents. The sample is chosen by the hash of
// the document id, so it is the same in both runs.

import type { Manifest, RowComparison } from '@reembed/protocol'
import { readIds, readShard } from '@reembed/shard'
import { hashOfId, mapConcurrent, ReembedError, shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
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

/**
 * Compares run `a` with run `b`. Reads all ids of both runs and the shards of the sample. Holds 8
 * bytes per row of both runs, and the sample.
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
  const [inA, inB] = [await hashesOf(store, a, read, signal), await hashesOf(store, b, read, signal)]
  const { common, sample } = intersect(inA, inB, wantedDocuments)
  if (common === 0) {
    throw new ReembedError(
      'USAGE',
      `runs ${a.run} and ${b.run} have no document in common: compare runs over the same corpus`,
    )
  }
  const rowsA = await rowsOf(store, a, sample, { read, signal })
  const rowsB = await rowsOf(store, b, sample, { read, signal })
  const compared = await compareRows(rowsA, rowsB, {
    top,
    queries: wantedQueries,
    sameSpace: a.spaceId === b.spaceId,
    onNeighbourScores,
    signal,
  })
  return {
    common,
    added: inB.length - common,
    removed: inA.length - common,
    ...compared,
    health: [healthOf(rowsA, a.totals.rows), healthOf(rowsB, b.totals.rows)],
  }
}

/** The hashes of a run's ids, sorted. */
async function hashesOf(
  store: Store,
  { run, shards, totals }: Manifest,
  onRead: () => void,
  signal: AbortSignal | undefined,
): Promise<BigUint64Array> {
  const hashes = new BigUint64Array(totals.rows)
  let used = 0
  const keys = Array.from({ length: shards }, (_, shard) => shardKey(run, shard, shards))
  const read = mapConcurrent(keys, (key, stop) => readIds(store, key, { signal: stop }), {
    concurrency: SHARDS_AT_ONCE,
    signal,
  })
  for await (const ids of read) {
    onRead()
    for (const id of ids) hashes[used++] = hashOfId(id)
  }
  return hashes.sort()
}

/**
 * The number of common hashes, and the smallest of them with their positions in the sample. The
 * smallest hashes are a pseudorandom choice of documents.
 */
function intersect(
  a: BigUint64Array,
  b: BigUint64Array,
  most: number,
): { common: number; sample: Map<bigint, number> } {
  const sample = new Map<bigint, number>()
  let common = 0
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const [x = 0n, y = 0n] = [a[i], b[j]]
    if (x === y) {
      common += 1
      if (sample.size < most) sample.set(x, sample.size)
    }
    if (x <= y) i += 1
    if (y <= x) j += 1
  }
  return { common, sample }
}

async function rowsOf(
  store: Store,
  { run, shards, model }: Manifest,
  sample: ReadonlyMap<bigint, number>,
  { read, signal }: { readonly read: () => void; readonly signal: AbortSignal | undefined },
): Promise<Rows> {
  const { dimensions } = model
  const ids: string[] = Array(sample.size).fill('')
  const vectors = new Float32Array(sample.size * dimensions)
  for (let shard = 0; shard < shards; shard += 1) {
    for await (const batch of readShard(store, shardKey(run, shard, shards), { signal })) {
      for (const [row, id] of batch.ids.entries()) {
        const place = sample.get(hashOfId(id))
        if (place === undefined) continue
        ids[place] = id
        vectors.set(batch.vectors.subarray(row * dimensions, (row + 1) * dimensions), place * dimensions)
      }
    }
    read()
  }
  return { ids, vectors, dimensions }
}
