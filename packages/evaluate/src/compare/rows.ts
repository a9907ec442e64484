// Compares the vectors that two models give to the same documents. Vectors of different models are
// not comparable, but neighbourhoods are: the nearest documents of a document in each vector space.

import { createHash } from 'node:crypto'
import type { RowComparison } from '@reembed/protocol'
import { createNearest, dot } from './nearest.ts'

/**
 * Documents and their vectors. Row `i` is `vectors.subarray(i * dimensions, (i + 1) * dimensions)`.
 */
export interface Rows {
  readonly ids: readonly string[]
  readonly vectors: Float32Array
  readonly dimensions: number
}

/** Figures of one run. All but `rows` are measured over the sample. */
export interface Health {
  /** Number of rows of the whole run. */
  readonly rows: number
  readonly norms: { readonly min: number; readonly mean: number; readonly max: number }
  /** Number of dimensions with the same value in every vector. */
  readonly collapsedDimensions: number
  /** Number of rows minus the number of distinct vectors. */
  readonly repeatedVectors: number
}

const SHOWN = 5
/**
 * A dimension is collapsed if its variance is below this share of the mean square of all values.
 */
const COLLAPSED = 1e-9

/**
 * Compares two sets of rows of the same documents in the same order. Searches the neighbours of the
 * first `queries` documents among all documents.
 */
export async function compareRows(
  a: Rows,
  b: Rows,
  {
    top,
    queries,
    sameSpace,
    onNeighbourScores,
    signal,
  }: {
    readonly top: number
    readonly queries: number
    readonly sameSpace: boolean
    /** Called with the cosines of all neighbours found in `a`, and in `b`. */
    readonly onNeighbourScores?: ((a: readonly number[], b: readonly number[]) => void) | undefined
    readonly signal?: AbortSignal | undefined
  },
): Promise<RowComparison> {
  const count = Math.min(queries, a.ids.length)
  const near = await Promise.all([a, b].map(rows => neighbours(rows, count, top, signal)))
  const [hitsA = [], hitsB = []] = near
  const scoresOf = (hits: NeighbourHits): number[] => hits.flat().map(({ score }) => score)
  onNeighbourScores?.(scoresOf(hitsA), scoresOf(hitsB))
  const [nearA, nearB] = [hitsA, hitsB].map(hits => hits.map(found => found.map(({ row }) => row))) as [
    number[][],
    number[][],
  ]
  const shares = nearA.map((found, i) => {
    const inB = new Set(nearB[i])
    return found.length === 0 ? 1 : found.filter(row => inB.has(row)).length / found.length
  })
  const overlapCounts = new Array<number>(top + 1).fill(0)
  for (const share of shares) {
    const kept = Math.round(share * top)
    overlapCounts[kept] = (overlapCounts[kept] ?? 0) + 1
  }
  const leastOverlap = shares
    .map((overlap, i) => ({ id: a.ids[i] ?? '', overlap }))
    .sort((x, y) => x.overlap - y.overlap)
    .slice(0, SHOWN)
  return {
    documents: a.ids.length,
    queries: count,
    top,
    overlap: mean(shares),
    overlapCounts,
    leastOverlap,
    cosine: sameSpace ? cosines(a, b) : null,
  }
}

type NeighbourHits = ReturnType<ReturnType<typeof createNearest>['hits']>

async function neighbours(
  { vectors, dimensions }: Rows,
  count: number,
  top: number,
  signal: AbortSignal | undefined,
): Promise<NeighbourHits> {
  const queries = Array.from({ length: count }, (_, i) => vectors.slice(i * dimensions, (i + 1) * dimensions))
  const nearest = createNearest(queries, top, signal)
  await nearest.add(
    vectors,
    dimensions,
    queries.map((_, i) => i),
  )
  return nearest.hits()
}

function cosines(a: Rows, b: Rows): { mean: number; min: number } {
  const { dimensions } = a
  const all = a.ids.map((_, row) => {
    const from = row * dimensions
    const norm = (rows: Rows): number =>
      Math.sqrt(dot(rows.vectors, from, rows.vectors, from, dimensions)) || 1
    return dot(a.vectors, from, b.vectors, from, dimensions) / (norm(a) * norm(b))
  })
  return { mean: mean(all), min: all.reduce((least, cosine) => Math.min(least, cosine), 1) }
}

/**
 * Measures the figures of one run over a sample of its rows.
 * @param rows number of rows of the whole run
 */
export function healthOf({ ids, vectors, dimensions }: Rows, rows: number): Health {
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
    rows,
    norms: {
      min: norms.reduce((least, norm) => Math.min(least, norm), Number.POSITIVE_INFINITY),
      mean: mean(norms),
      max: norms.reduce((most, norm) => Math.max(most, norm), 0),
    },
    collapsedDimensions:
      ids.length < 2 ? 0 : variances.filter(variance => variance < COLLAPSED * power).length,
    repeatedVectors: ids.length - distinct.size,
  }
}

/** The mean; 0 for an empty list. */
export const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length
