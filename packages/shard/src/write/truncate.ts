// Vectors of fewer dimensions from a model that was trained for it (Matryoshka): the first ones, normalised again.

import type { Recipe } from '@reembed/protocol'
import { normOf } from '@reembed/shared'

/**
 * Keeps the first `model.dimensions` of `nativeDimensions` values in each row, in place; gives back `vectors` as they are where
 * nothing is cut. Cut first, then normalise: TEI does the same with `dimensions` (core/src/infer.rs).
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
