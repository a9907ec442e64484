import { expect, test } from 'vitest'
import { createDimensionRanges } from '../src/collapsed-dimensions.ts'

const shard = (textChanges: number, minValues: number[], maxValues: number[]) => ({
  textChanges,
  norms: { min: 1, max: 1 },
  minValues: Float32Array.from(minValues),
  maxValues: Float32Array.from(maxValues),
})

test('P-VERIFY: a dimension is collapsed if its value is the same over all shards, not only within each', () => {
  const ranges = createDimensionRanges(3)
  ranges.add(shard(60, [-0.5, 0.1, 0.3], [0.5, 0.1, 0.3]))
  ranges.add(shard(60, [-0.4, 0.2, 0.300001], [0.6, 0.2, 0.300001]))
  expect(ranges.collapsedDimensions()).toEqual([2])
})

test('P-VERIFY: no dimension is reported as collapsed below 100 texts', () => {
  const ranges = createDimensionRanges(2)
  ranges.add(shard(99, [0, 0], [0, 1]))
  expect(ranges.collapsedDimensions()).toEqual([])
  ranges.add(shard(1, [0, 0], [0, 1]))
  expect(ranges.collapsedDimensions()).toEqual([0])
})
