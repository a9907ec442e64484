// Which dimensions have one value for all? A model that was cut, quantised or exported wrongly shows it here and nowhere
// else: its vectors are finite and of the right length. Holds two numbers a dimension.

import type { CheckedShard } from '@reembed/shard'

/** Among fewer texts, one value for all may be chance. */
const MIN_TEXTS = 100
/** Of what a value is on average: less than this apart is one value. */
const APART = 1e-4

export interface Ranges {
  add(shard: Pick<CheckedShard, 'least' | 'greatest' | 'texts' | 'norms'>): void
  /** Those with one value for all, from 0 on; none where too few texts were seen to tell. */
  collapsed(): number[]
}

export function createRanges(dimensions: number): Ranges {
  const least = new Float32Array(dimensions).fill(Number.POSITIVE_INFINITY)
  const greatest = new Float32Array(dimensions).fill(Number.NEGATIVE_INFINITY)
  let [texts, norm] = [0, 0]
  return {
    add(shard) {
      texts += shard.texts
      norm = Math.max(norm, shard.norms.max)
      for (let i = 0; i < dimensions; i++) {
        least[i] = Math.min(least[i] ?? 0, shard.least[i] ?? 0)
        greatest[i] = Math.max(greatest[i] ?? 0, shard.greatest[i] ?? 0)
      }
    },
    collapsed() {
      if (texts < MIN_TEXTS) return []
      const apart = (APART * norm) / Math.sqrt(dimensions)
      const all = Array.from(least, (value, i) => (greatest[i] ?? 0) - value)
      return all.flatMap((range, i) => (range < apart ? [i] : []))
    },
  }
}
