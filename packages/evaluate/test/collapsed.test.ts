import { expect, test } from 'vitest'
import { createRanges } from '../src/collapsed.ts'

const shard = (texts: number, least: number[], greatest: number[]) => ({
  texts,
  norms: { min: 1, max: 1 },
  least: Float32Array.from(least),
  greatest: Float32Array.from(greatest),
})

test('P-VERIFY: a dimension is collapsed if it has one value over all shards, not only within each', () => {
  const ranges = createRanges(3)
  ranges.add(shard(60, [-0.5, 0.1, 0.3], [0.5, 0.1, 0.3]))
  ranges.add(shard(60, [-0.4, 0.2, 0.300001], [0.6, 0.2, 0.300001]))
  expect(ranges.collapsed()).toEqual([2])
})

test('P-VERIFY: fewer than 100 texts do not tell', () => {
  const ranges = createRanges(2)
  ranges.add(shard(99, [0, 0], [0, 1]))
  expect(ranges.collapsed()).toEqual([])
  ranges.add(shard(1, [0, 0], [0, 1]))
  expect(ranges.collapsed()).toEqual([0])
})
