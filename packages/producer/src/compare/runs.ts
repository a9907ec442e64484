// Two runs beside each other. Vectors of two models can't be compared, but neighbourhoods can: who is near to whom,
// each in its own space. Documents are sampled by the hash of their id, so both runs give the same ones.

import { createHash } from 'node:crypto'
import {
  type Manifest,
  mapConcurrent,
  ReembedError,
  readIds,
  readShard,
  type Store,
  shardKey,
} from '@reembed/shared'
import { createNearest, dot } from './nearest.ts'

export interface CompareOptions {
  readonly top?: number | undefined
  /** Documents whose neighbours are looked for, and among how many. */
  readonly queries?: number | undefined
  readonly documents?: number | undefined
}

export interface Health {
  readonly rows: number
  /** Over the sample. */
  readonly norms: { readonly least: number; readonly mean: number; readonly most: number }
  /** Dimensions that have one value for all. */
  readonly collapsedDimensions: number
  /** Rows whose vector another document has as well. */
  readonly repeated: number
}

export interface Comparison {
  readonly common: number
  /** Ids that only the second run has, and only the first. */
  readonly gained: number
  readonly lost: number
  readonly documents: number
  readonly queries: number
  readonly top: number
  /** Mean share of a document's nearest that it has in both runs. */
  readonly overlap: number
  /** Documents with the least of them. */
  readonly moved: readonly { readonly id: string; readonly overlap: number }[]
  /** Of the same document in both, where both are of one space. */
  readonly cosine: { readonly mean: number; readonly least: number } | null
  readonly health: readonly [Health, Health]
}

const SHARDS_AT_ONCE = 8
const MOVED = 5
/** Below this share of the mean square of all values, a dimension has one value. */
const COLLAPSED = 1e-9

/**
 * Reads the ids of both runs and the vectors of the sample. Holds 8 bytes a row of both, and the sample.
 * @throws ReembedError USAGE where the runs have no document in common.
 */
export async function compareRuns(
  store: Store,
  a: Manifest,
  b: Manifest,
  { top = 10, queries: wantedQueries = 200, documents: wantedDocuments = 20_000 }: CompareOptions = {},
): Promise<Comparison> {
  const [inA, inB] = [await hashesOf(store, a), await hashesOf(store, b)]
  const { common, sample } = intersect(inA, inB, wantedDocuments)
  if (common === 0) {
    throw new ReembedError(
      'USAGE',
      `runs ${a.run} and ${b.run} have no document in common: there is nothing to compare`,
    )
  }
  const [rowsA, rowsB] = [await rowsOf(store, a, sample), await rowsOf(store, b, sample)]
  const count = Math.min(wantedQueries, sample.size)
  const near = await Promise.all([rowsA, rowsB].map(rows => neighbours(rows, count, top)))
  const [nearA = [], nearB = []] = near
  const shares = nearA.map((found, i) => {
    const there = new Set(nearB[i])
    return found.length === 0 ? 1 : found.filter(row => there.has(row)).length / found.length
  })
  const moved = shares
    .map((overlap, i) => ({ id: rowsA.ids[i] ?? '', overlap }))
    .sort((x, y) => x.overlap - y.overlap)
    .slice(0, MOVED)
  return {
    common,
    gained: inB.length - common,
    lost: inA.length - common,
    documents: sample.size,
    queries: count,
    top,
    overlap: mean(shares),
    moved,
    cosine: a.spaceId === b.spaceId ? cosines(rowsA, rowsB) : null,
    health: [healthOf(rowsA, a), healthOf(rowsB, b)],
  }
}

interface Rows {
  readonly ids: string[]
  readonly vectors: Float32Array
  readonly dimensions: number
}

const hashOf = (id: string): bigint => createHash('sha256').update(id).digest().readBigUInt64LE(0)

/** The hashes of a run's ids, sorted. */
async function hashesOf(store: Store, { run, shards, totals }: Manifest): Promise<BigUint64Array> {
  const hashes = new BigUint64Array(totals.rows)
  let used = 0
  const keys = Array.from({ length: shards }, (_, shard) => shardKey(run, shard, shards))
  for await (const ids of mapConcurrent(keys, key => readIds(store, key), { limit: SHARDS_AT_ONCE })) {
    for (const id of ids) hashes[used++] = hashOf(id)
  }
  return hashes.sort()
}

/** How many hashes both have, and the smallest of these with their place in the sample: as good as chosen by chance. */
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
): Promise<Rows> {
  const { dimensions } = model
  const ids: string[] = Array(sample.size).fill('')
  const vectors = new Float32Array(sample.size * dimensions)
  for (let shard = 0; shard < shards; shard += 1) {
    for await (const batch of readShard(store, shardKey(run, shard, shards))) {
      for (const [row, id] of batch.ids.entries()) {
        const place = sample.get(hashOf(id))
        if (place === undefined) continue
        ids[place] = id
        vectors.set(batch.vectors.subarray(row * dimensions, (row + 1) * dimensions), place * dimensions)
      }
    }
  }
  return { ids, vectors, dimensions }
}

async function neighbours({ vectors, dimensions }: Rows, count: number, top: number): Promise<number[][]> {
  const queries = Array.from({ length: count }, (_, i) => vectors.slice(i * dimensions, (i + 1) * dimensions))
  const nearest = createNearest(queries, top)
  await nearest.add(
    vectors,
    dimensions,
    queries.map((_, i) => i),
  )
  return nearest.found()
}

function cosines(a: Rows, b: Rows): { mean: number; least: number } {
  const { dimensions } = a
  const all = a.ids.map((_, row) => {
    const from = row * dimensions
    const norm = (rows: Rows): number =>
      Math.sqrt(dot(rows.vectors, from, rows.vectors, from, dimensions)) || 1
    return dot(a.vectors, from, b.vectors, from, dimensions) / (norm(a) * norm(b))
  })
  return { mean: mean(all), least: all.reduce((least, one) => Math.min(least, one), 1) }
}

function healthOf({ ids, vectors, dimensions }: Rows, { totals }: Manifest): Health {
  const norms = ids.map((_, row) =>
    Math.sqrt(dot(vectors, row * dimensions, vectors, row * dimensions, dimensions)),
  )
  let power = 0
  for (const norm of norms) power += norm ** 2 / dimensions / ids.length
  const variances = Array.from({ length: dimensions }, (_, d) => {
    let [sum, squares] = [0, 0]
    for (let at = d; at < vectors.length; at += dimensions) {
      sum += vectors[at] ?? 0
      squares += (vectors[at] ?? 0) ** 2
    }
    return squares / ids.length - (sum / ids.length) ** 2
  })
  const distinct = new Set(
    ids.map((_, row) =>
      createHash('sha256')
        .update(new Uint8Array(vectors.buffer, 4 * row * dimensions, 4 * dimensions))
        .digest('base64'),
    ),
  )
  return {
    rows: totals.rows,
    norms: {
      least: norms.reduce((least, one) => Math.min(least, one), Number.POSITIVE_INFINITY),
      mean: mean(norms),
      most: norms.reduce((most, one) => Math.max(most, one), 0),
    },
    collapsedDimensions:
      ids.length < 2 ? 0 : variances.filter(variance => variance < COLLAPSED * power).length,
    repeated: ids.length - distinct.size,
  }
}

const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length
