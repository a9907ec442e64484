// Measures the recall lost by storing vectors in fewer bits: the share of the nearest documents
// found with float32 that each other type also finds. The queries are documents of the run, spread
// evenly over it; a query is excluded from its own results. Query and documents are encoded in the
// same way.

import type { Manifest } from '@reembed/protocol'
import { type Ranges, rangesOf, readShard, toInt8, toUbinary } from '@reembed/shard'
import { shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'

export interface RecallOptions {
  /** Number of queries. Default 200. */
  readonly queries?: number | undefined
  /** Number of nearest documents per query. Default 10. */
  readonly top?: number | undefined
  /** Maximum number of documents, taken from the first shard on. Default 100,000. */
  readonly documents?: number | undefined
}

export interface Recall {
  /** For example `int8` or `float32, first 384 dimensions`. */
  readonly type: string
  readonly bytesPerVector: number
  /** Mean share, 0 to 1, of the nearest documents by float32 that this type finds. */
  readonly recall: number
}

/** A storage type: how vectors are encoded and compared. */
interface VectorEncoding {
  readonly type: string
  readonly bytesPerVector: number
  encode(vectors: Float32Array): ArrayLike<number>
  /** Stored values per row. */
  readonly width: number
  similarity(a: ArrayLike<number>, b: ArrayLike<number>, from: number): number
}

/**
 * Candidates per result that float32 queries rescore; `rescore_multiplier` of
 * sentence-transformers.
 */
const RESCORE_FACTOR = 4

/**
 * Measures the recall of each storage type by comparing every query with every document. Holds all
 * compared documents in memory: 100,000 vectors with 768 dimensions take 300 MiB.
 *
 * @returns the numbers of documents and queries compared, and the recall of each type
 * @throws ReembedError of the store or of a corrupt shard
 */
export async function measureRecall(
  store: Store,
  manifest: Manifest,
  { queries = 200, top = 10, documents = 100_000 }: RecallOptions = {},
): Promise<{ documents: number; queries: number; top: number; recalls: Recall[] }> {
  const { dimensions } = manifest.model
  const vectors = await load(store, manifest, documents)
  const rows = vectors.length / dimensions
  const queryRows = Array.from({ length: Math.min(queries, rows) }, (_, i) =>
    Math.floor((i * rows) / Math.min(queries, rows)),
  )
  const ranges = await rangesOf([vectors], dimensions)
  const exact = nearestOf(float32(dimensions), vectors, queryRows, top)
  const recalls: Recall[] = []
  for (const type of typesOf(dimensions, ranges)) {
    const found = nearestOf(
      type,
      vectors,
      queryRows,
      type.type.includes('rescored') ? RESCORE_FACTOR * top : top,
    )
    const kept = found.map((rows, i) =>
      type.type.includes('rescored') ? rescore(vectors, dimensions, queryRows[i] ?? 0, rows, top) : rows,
    )
    recalls.push({ type: type.type, bytesPerVector: type.bytesPerVector, recall: overlap(exact, kept) })
  }
  return { documents: rows, queries: queryRows.length, top, recalls }
}

async function load(
  store: Store,
  { run, shards, model, totals }: Manifest,
  most: number,
): Promise<Float32Array> {
  const rows = Math.min(totals.rows, most)
  const vectors = new Float32Array(rows * model.dimensions)
  let at = 0
  for (let shard = 0; shard < shards && at < vectors.length; shard += 1) {
    for await (const batch of readShard(store, shardKey(run, shard, shards))) {
      const part = batch.vectors.subarray(0, vectors.length - at)
      vectors.set(part, at)
      at += part.length
    }
  }
  return vectors
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>, from: number): number => {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[from + i] ?? 0)
  return sum
}

const float32 = (dimensions: number): VectorEncoding => ({
  type: 'float32',
  bytesPerVector: 4 * dimensions,
  width: dimensions,
  encode: vectors => unit(vectors, dimensions),
  similarity: dot,
})

function typesOf(dimensions: number, ranges: Ranges): VectorEncoding[] {
  const cut = (size: number): VectorEncoding => ({
    type: `float32, first ${size} dimensions`,
    bytesPerVector: 4 * size,
    width: size,
    encode: vectors => unit(firstOf(vectors, dimensions, size), size),
    similarity: dot,
  })
  const int8: VectorEncoding = {
    type: 'int8',
    bytesPerVector: dimensions,
    width: dimensions,
    encode: vectors => centred(toInt8(vectors, ranges), ranges),
    similarity: dot,
  }
  const bits: VectorEncoding = {
    type: 'ubinary',
    bytesPerVector: dimensions / 8,
    width: dimensions / 8,
    encode: toUbinary,
    similarity: (a, b, from) => {
      let differing = 0
      for (let i = 0; i < a.length; i++) differing += BITS[(a[i] ?? 0) ^ (b[from + i] ?? 0)] ?? 0
      return -differing
    },
  }
  const half: VectorEncoding = {
    ...float32(dimensions),
    type: 'float16',
    bytesPerVector: 2 * dimensions,
    encode: vectors => unit(Float32Array.from(new Float16Array(vectors)), dimensions),
  }
  return [
    half,
    int8,
    ...(dimensions % 8 === 0 ? [bits, { ...bits, type: `ubinary, ${RESCORE_FACTOR}x rescored` }] : []),
    ...(dimensions >= 4 ? [cut(Math.floor(dimensions / 2)), cut(Math.floor(dimensions / 4))] : []),
  ]
}

const BITS: Uint8Array = Uint8Array.from(
  { length: 256 },
  (_, byte) => byte.toString(2).replaceAll('0', '').length,
)

/** Decodes int8 levels to the middle of each step. */
function centred(levels: Int8Array, { min, max }: Ranges): Float32Array {
  const { length } = min
  return Float32Array.from(levels, (level, i) => {
    const d = i % length
    const least = min[d] ?? 0
    return least + ((level + 128.5) * ((max[d] ?? 0) - least)) / 255
  })
}

function unit(vectors: Float32Array, dimensions: number): Float32Array {
  const units = vectors.slice()
  for (let from = 0; from < units.length; from += dimensions) {
    const row = units.subarray(from, from + dimensions)
    const norm = Math.sqrt(dot(row, units, from)) || 1
    for (let i = 0; i < dimensions; i++) row[i] = (row[i] ?? 0) / norm
  }
  return units
}

function firstOf(vectors: Float32Array, dimensions: number, size: number): Float32Array {
  const first = new Float32Array((vectors.length / dimensions) * size)
  for (let row = 0; row * dimensions < vectors.length; row++) {
    first.set(vectors.subarray(row * dimensions, row * dimensions + size), row * size)
  }
  return first
}

/** The rows nearest to each query's row, without that row. */
function nearestOf(
  type: VectorEncoding,
  vectors: Float32Array,
  queries: readonly number[],
  top: number,
): number[][] {
  const stored = type.encode(vectors)
  const rows = stored.length / type.width
  return queries.map(query => {
    const wanted = Array.from({ length: type.width }, (_, i) => stored[query * type.width + i] ?? 0)
    const scores = new Float64Array(rows)
    for (let row = 0; row < rows; row++) scores[row] = type.similarity(wanted, stored, row * type.width)
    scores[query] = Number.NEGATIVE_INFINITY
    return bestOf(scores, Math.min(top, rows - 1))
  })
}

function bestOf(scores: Float64Array, top: number): number[] {
  const best: number[] = []
  for (let row = 0; row < scores.length; row++) {
    const score = scores[row] ?? 0
    if (best.length === top && score <= (scores[best.at(-1) ?? 0] ?? 0)) continue
    const place = best.findIndex(other => (scores[other] ?? 0) < score)
    best.splice(place === -1 ? best.length : place, 0, row)
    best.length = Math.min(best.length, top)
  }
  return best
}

/**
 * Candidates ordered by the dot product of the float32 query and the document's bits as 1 and -1.
 */
function rescore(
  vectors: Float32Array,
  dimensions: number,
  query: number,
  candidates: readonly number[],
  top: number,
): number[] {
  const wanted = vectors.subarray(query * dimensions, (query + 1) * dimensions)
  const score = (row: number): number => {
    let sum = 0
    for (let i = 0; i < dimensions; i++)
      sum += (vectors[row * dimensions + i] ?? 0) > 0 ? (wanted[i] ?? 0) : -(wanted[i] ?? 0)
    return sum
  }
  const scored = candidates.map(row => ({ row, score: score(row) }))
  return scored
    .sort((a, b) => b.score - a.score)
    .slice(0, top)
    .map(({ row }) => row)
}

function overlap(exact: readonly number[][], found: readonly number[][]): number {
  let shares = 0
  for (const [i, rows] of exact.entries()) {
    const hits = new Set(found[i])
    shares += rows.length === 0 ? 1 : rows.filter(row => hits.has(row)).length / rows.length
  }
  return exact.length === 0 ? 1 : shares / exact.length
}
