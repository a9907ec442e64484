// Which dimensions have one value for all? A model that was cut, quantised or exported wrongly shows it here and nowhere
// else: its vectors are finite and of the right length. Holds two numbers a dimension.

import type { CheckedShard } from '@reembed/shard'

/** Among fewer texts, one value for all may be chance. */
const MIN_TEXTS = 100
/** Of what a value is on average: less than this apart is one value. */
const APART = 1e-4

export interface DimensionRanges {
  add(shard: Pick<CheckedShard, 'minValues' | 'maxValues' | 'textChanges' | 'norms'>): void
  /** Those with one value for all, from 0 on; none where too few texts were seen to tell. */
  collapsedDimensions(): number[]
}

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
      const apart = (APART * norm) / Math.sqrt(dimensions)
      const all = Array.from(minValues, (value, i) => (maxValues[i] ?? 0) - value)
      return all.flatMap((range, i) => (range < apart ? [i] : []))
    },
  }
}
