// The directions in which most of a set of vectors lies. Vectors of one embedding model use few of
// the directions of their space; those of another model lie in them by chance only, with k / d of
// their length for k directions of d.

import { dotAt, type Pause } from './vectors.ts'

/** Directions of a subspace: 64, or a quarter of the space. */
export const directionsOf = (dimensions: number): number => Math.max(1, Math.min(64, dimensions >> 2))

const ROUNDS = 5
/** A direction in which this share of the length comes from few rows belongs to these rows. */
const LOCAL_SHARE = 0.5
const LOCAL_ROWS = 0.03

/**
 * The strongest directions of rows (row after row, unit vectors), as `directions` orthonormal
 * vectors: subspace iteration. Directions that belong to a few rows alone are left out.
 */
export async function principalDirections(
  rows: Float32Array,
  dimensions: number,
  pause: Pause,
): Promise<Float32Array> {
  const count = rows.length / dimensions
  const k = Math.min(directionsOf(dimensions), count)
  let basis = startingBasis(k, dimensions)
  orthonormalize(basis, dimensions)
  for (let round = 0; round < ROUNDS; round += 1) {
    const next = new Float32Array(basis.length)
    for (let row = 0; row < count; row += 1) {
      await pause()
      for (let j = 0; j < k; j += 1) {
        const weight = dotAt(rows, row * dimensions, basis, j * dimensions, dimensions)
        for (let i = 0; i < dimensions; i += 1)
          next[j * dimensions + i] =
            (next[j * dimensions + i] ?? 0) + weight * (rows[row * dimensions + i] ?? 0)
      }
    }
    basis = next
    orthonormalize(basis, dimensions)
  }
  const shared: number[] = []
  for (let j = 0; j < k; j += 1) {
    await pause()
    if (!isLocal(rows, basis, j, dimensions)) shared.push(j)
  }
  const kept = new Float32Array(shared.length * dimensions)
  for (const [to, j] of shared.entries())
    kept.set(basis.subarray(j * dimensions, (j + 1) * dimensions), to * dimensions)
  return kept
}

function isLocal(rows: Float32Array, basis: Float32Array, j: number, dimensions: number): boolean {
  const energies = Array.from({ length: rows.length / dimensions }, (_, row) => {
    const part = dotAt(rows, row * dimensions, basis, j * dimensions, dimensions)
    return part * part
  }).sort((a, b) => b - a)
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
  return sum(energies.slice(0, Math.ceil(LOCAL_ROWS * energies.length))) > LOCAL_SHARE * sum(energies)
}

/** The share of the squared length of a unit vector that lies in the directions. */
export function energyIn(basis: Float32Array, vectors: Float32Array, at: number, dimensions: number): number {
  let energy = 0
  for (let j = 0; j < basis.length; j += dimensions) {
    const part = dotAt(vectors, at, basis, j, dimensions)
    energy += part * part
  }
  return energy
}

/** Values without structure, the same in each call. */
function startingBasis(count: number, dimensions: number): Float32Array {
  let state = 1
  return Float32Array.from({ length: count * dimensions }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return state / 2 ** 31
  })
}

/** Gram-Schmidt, in place. */
function orthonormalize(basis: Float32Array, dimensions: number): void {
  for (let at = 0; at < basis.length; at += dimensions) {
    for (let before = 0; before < at; before += dimensions) {
      const part = dotAt(basis, at, basis, before, dimensions)
      for (let i = 0; i < dimensions; i += 1)
        basis[at + i] = (basis[at + i] ?? 0) - part * (basis[before + i] ?? 0)
    }
    const norm = Math.sqrt(dotAt(basis, at, basis, at, dimensions)) || 1
    for (let i = 0; i < dimensions; i += 1) basis[at + i] = (basis[at + i] ?? 0) / norm
  }
}
