import { expect, test } from 'vitest'
import { type Interval, mergedIntervals, unionMs } from '../src/quote.ts'

test('unionMs counts overlapping intervals once, also after mergedIntervals', () => {
  const intervals: Interval[] = [
    [10, 20],
    [0, 5],
    [15, 30],
    [30, 31],
    [16, 17],
    [100, 100],
  ]
  expect(unionMs(intervals)).toBe(26)
  expect(mergedIntervals(intervals)).toEqual([
    [0, 5],
    [10, 31],
    [100, 100],
  ])
  expect(unionMs(mergedIntervals(intervals))).toBe(26)
  expect(unionMs([])).toBe(0)
})
