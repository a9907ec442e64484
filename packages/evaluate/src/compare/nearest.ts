// Exact nearest-neighbour search by cosine: compares every query with every row.

import { setImmediate as turn } from 'node:timers/promises'

/**
 * Multiplications between two turns of the event loop. A worker evaluates gates while its jobs run,
 * and BullMQ renews the locks of those jobs on the same event loop.
 */
const PER_TURN = 20_000_000

/**
 * Finds the `top` rows with the highest cosine for each query, best first, over any number of
 * batches.
 * @param signal checked between turns of the event loop
 */
export function createNearest(queries: readonly Float32Array[], top: number, signal?: AbortSignal) {
  const units = queries.map(unit)
  const best = units.map((): { row: number; score: number }[] => [])
  let rows = 0
  return {
    /**
     * Adds the next rows.
     * @param except for each query, the row to exclude: the row of the query itself
     */
    async add(vectors: Float32Array, dimensions: number, except: readonly number[] = []): Promise<void> {
      const count = vectors.length / dimensions
      const perTurn = Math.max(1, Math.floor(PER_TURN / (dimensions * Math.max(1, units.length))))
      for (let start = 0; start < count; start += perTurn) {
        for (let row = start; row < Math.min(count, start + perTurn); row += 1) {
          const from = row * dimensions
          const norm = Math.sqrt(dot(vectors, from, vectors, from, dimensions)) || 1
          for (const [i, query] of units.entries()) {
            if (except[i] === rows + row) continue
            keep(best[i] ?? [], rows + row, dot(query, 0, vectors, from, dimensions) / norm, top)
          }
        }
        await turn()
        signal?.throwIfAborted()
      }
      rows += count
    },
    /** The rows found for each query with their cosines; rows are counted over all batches. */
    hits: (): readonly (readonly { readonly row: number; readonly score: number }[])[] => best,
    /** The row numbers found for each query, counted over all batches. */
    found: (): number[][] => best.map(hits => hits.map(({ row }) => row)),
  }
}

function keep(hits: { row: number; score: number }[], row: number, score: number, top: number): void {
  if (hits.length === top && score <= (hits.at(-1)?.score ?? 0)) return
  const place = hits.findIndex(hit => hit.score < score)
  hits.splice(place === -1 ? hits.length : place, 0, { row, score })
  hits.length = Math.min(hits.length, top)
}

export function dot(
  a: Float32Array,
  from: number,
  b: Float32Array,
  start: number,
  dimensions: number,
): number {
  let sum = 0
  for (let i = 0; i < dimensions; i += 1) sum += (a[from + i] ?? 0) * (b[start + i] ?? 0)
  return sum
}

function unit(vector: Float32Array): Float32Array {
  const norm = Math.hypot(...vector) || 1
  return vector.map(value => value / norm)
}
