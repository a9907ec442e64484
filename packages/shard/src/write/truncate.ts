// Shortens vectors of a model that was trained for shortening (Matryoshka): keeps the first
// dimensions and normalises them again.

import type { Recipe } from '@reembed/protocol'
import { normOf } from '@reembed/shared'

/**
 * Truncates each row from `nativeDimensions` to the first `model.dimensions` values, in place, and
 * returns a view of them. Returns `vectors` unchanged if nothing is to be cut. Truncates first,
 * then normalises, as TEI does for `dimensions` (core/src/infer.rs).
 */
export function truncateVectors(
  vectors: Float32Array,
  {
    model,
    nativeDimensions,
  }: {
    readonly model: Pick<Recipe['model'], 'dimensions' | 'normalized'>
    readonly nativeDimensions?: Recipe['nativeDimensions']
  },
): Float32Array {
  const { dimensions, normalized } = model
  if (nativeDimensions === undefined || nativeDimensions === dimensions) return vectors
  const rows = vectors.length / nativeDimensions
  for (let row = 0; row < rows; row++) {
    const to = row * dimensions
    vectors.copyWithin(to, row * nativeDimensions, row * nativeDimensions + dimensions)
    if (!normalized) continue
    const norm = normOf(vectors, row, dimensions)
    for (let i = to; i < to + dimensions; i++) vectors[i] = (vectors[i] ?? 0) / norm
  }
  return vectors.subarray(0, rows * dimensions)
}
