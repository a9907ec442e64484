// The same documents with two models' vectors beside each other. Vectors of two models can't be compared, but
// neighbourhoods can: who is near to whom, each in its own space.

import { createHash } from 'node:crypto'
import { createNearest, dot } from './nearest.ts'

/** Documents and their vectors, one behind the other. */
export interface Rows {
  readonly ids: readonly string[]
  readonly vectors: Float32Array
  readonly dimensions: number
}

export interface Health {
  /** Of the whole run; norms and what follows are those of the sample. */
  readonly rows: number
  readonly norms: { readonly min: number; readonly mean: number; readonly max: number }
  /** Dimensions that have one value for all. */
  readonly collapsedDimensions: number
  /** Rows whose vector another document has as well. */
  readonly repeatedVectors: number
}

export interface RowComparison {
  readonly documents: number
  readonly queries: number
  readonly top: number
  /** Mean share of a document's nearest that it has in both. */
  readonly overlap: number
  /** Documents with the least of them. */
  readonly leastOverlap: readonly { readonly id: string; readonly overlap: number }[]
  /** Of the same document in both, where both are of one space. */
  readonly cosine: { readonly mean: number; readonly min: number } | null
}

const SHOWN = 5
/** Below this share of the mean square of all values, a dimension has one value. */
const COLLAPSED = 1e-9

/** Compares the same documents in the same order; the first `queries` of them are looked for among all. */
export async function compareRows(
  a: Rows,
  b: Rows,
  {
    top,
    queries,
    sameSpace,
    signal,
  }: {
    readonly top: number
    readonly queries: number
    readonly sameSpace: boolean
    readonly signal?: AbortSignal | undefined
  },
): Promise<RowComparison> {
  const count = Math.min(queries, a.ids.length)
  const near = await Promise.all([a, b].map(rows => neighbours(rows, count, top, signal)))
  const [nearA = [], nearB = []] = near
  const shares = nearA.map((found, i) => {
    const there = new Set(nearB[i])
    return found.length === 0 ? 1 : found.filter(row => there.has(row)).length / found.length
  })
  const leastOverlap = shares
    .map((overlap, i) => ({ id: a.ids[i] ?? '', overlap }))
    .sort((x, y) => x.overlap - y.overlap)
    .slice(0, SHOWN)
  return {
    documents: a.ids.length,
    queries: count,
    top,
    overlap: mean(shares),
    leastOverlap,
    cosine: sameSpace ? cosines(a, b) : null,
  }
}

async function neighbours(
  { vectors, dimensions }: Rows,
  count: number,
  top: number,
  signal: AbortSignal | undefined,
): Promise<number[][]> {
  const queries = Array.from({ length: count }, (_, i) => vectors.slice(i * dimensions, (i + 1) * dimensions))
  const nearest = createNearest(queries, top, signal)
  await nearest.add(
    vectors,
    dimensions,
    queries.map((_, i) => i),
  )
  return nearest.found()
}

function cosines(a: Rows, b: Rows): { mean: number; min: number } {
  const { dimensions } = a
  const all = a.ids.map((_, row) => {
    const from = row * dimensions
    const norm = (rows: Rows): number =>
      Math.sqrt(dot(rows.vectors, from, rows.vectors, from, dimensions)) || 1
    return dot(a.vectors, from, b.vectors, from, dimensions) / (norm(a) * norm(b))
  })
  return { mean: mean(all), min: all.reduce((least, one) => Math.min(least, one), 1) }
}

/** @param rows of the whole run */
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
      min: norms.reduce((least, one) => Math.min(least, one), Number.POSITIVE_INFINITY),
      mean: mean(norms),
      max: norms.reduce((most, one) => Math.max(most, one), 0),
    },
    collapsedDimensions:
      ids.length < 2 ? 0 : variances.filter(variance => variance < COLLAPSED * power).length,
    repeatedVectors: ids.length - distinct.size,
  }
}

/** 0 of none. */
export const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length
