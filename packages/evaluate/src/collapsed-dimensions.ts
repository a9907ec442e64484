// Detects dimensions that have the same value in every vector. Only this check finds a model that
// was truncated, quantised or exported incorrectly: its vectors are finite and have the right
// length. Holds two numbers per dimension.

import type { CheckedShard } from '@reembed/shard'

/** With fewer texts, equal values may be chance. */
const MIN_TEXTS = 100
/** A range below this share of the mean magnitude of a value counts as a single value. */
const MIN_RELATIVE_RANGE = 1e-4

export interface DimensionRanges {
  add(shard: Pick<CheckedShard, 'minValues' | 'maxValues' | 'textChanges' | 'norms'>): void
  /**
   * Indexes, from 0, of the collapsed dimensions; empty below 100 texts, which are too few to tell.
   */
  collapsedDimensions(): number[]
}

/**
 * Accumulates the value range of each dimension over the shards of a run.
 * @param dimensions length of each vector
 */
export function createDimensionRanges(dimensions: number): DimensionRanges {
  const minValues = new Float32Array(dimensions).fill(Number.POSITIVE_INFINITY)
  const maxValues = new Float32Array(dimensions).fill(Number.NEGATIVE_INFINITY)
  let [textChanges, norm] = [0, 0]
  return {
    add(shard) {
      textChanges += shard.textChanges
      norm = Math.max(norm, shard.norms.max)
      for (let i = 0; i < dimensions; i++) {
        minValues[i] = Math.min(minValues[i] ?? 0, shard.minValues[i] ?? 0)
        maxValues[i] = Math.max(maxValues[i] ?? 0, shard.maxValues[i] ?? 0)
      }
    },
    collapsedDimensions() {
      if (textChanges < MIN_TEXTS) return []
      const minRange = (MIN_RELATIVE_RANGE * norm) / Math.sqrt(dimensions)
      const ranges = Array.from(minValues, (value, i) => (maxValues[i] ?? 0) - value)
      return ranges.flatMap((range, i) => (range < minRange ? [i] : []))
    },
  }
}
