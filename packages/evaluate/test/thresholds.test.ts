import { expect, test } from 'vitest'
import { refitThresholds, usualCutoffs } from '../src/compare/thresholds.ts'

const scored = (scores: readonly number[], relevant?: (i: number) => boolean) =>
  scores.map((score, i) => ({ score, ...(relevant && { relevant: relevant(i) }) }))
const hundred = Array.from({ length: 100 }, (_, i) => (i + 1) / 100)

test('the new cut-off lets through the same share, where the scores of the new model are half as high', () => {
  const [fitted] = refitThresholds(scored(hundred), scored(hundred.map(score => score / 2)), [0.75])
  expect(fitted).toEqual({
    before: { cutoff: 0.75, share: 0.26, precision: null },
    unchanged: { cutoff: 0.75, share: 0, precision: null },
    sameShare: { cutoff: 0.375, share: 0.26, precision: null },
    samePrecision: null,
  })
})

test('with judgements the new cut-off is the lowest one with the same precision', () => {
  // Old: relevant from 0.51 on; 0.41 passes 50 of 60. New: relevant from 0.81 on.
  const before = scored(hundred, i => i >= 50)
  const after = scored(hundred, i => i >= 80)
  const [fitted] = refitThresholds(before, after, [0.41])
  expect(fitted?.before.precision).toBeCloseTo(50 / 60)
  expect(fitted?.sameShare).toMatchObject({ cutoff: 0.41, share: 0.6 })
  expect(fitted?.sameShare.precision).toBeCloseTo(20 / 60)
  // 20 of 24 is 0.833; of 25 it is 0.8.
  expect(fitted?.samePrecision).toEqual({ cutoff: 0.77, share: 0.24, precision: 20 / 24 })
})

test('a cut-off that lets nothing through stays one, and results of one score pass together', () => {
  const [nothing] = refitThresholds(scored([0.5, 0.4]), scored([0.9, 0.8]), [0.6])
  expect(nothing?.before.share).toBe(0)
  expect(nothing?.sameShare.share).toBe(0)
  const ties = refitThresholds(
    scored([0.9, 0.8, 0.7], i => i === 0),
    scored([0.5, 0.5, 0.5], i => i === 0),
    [0.9, 0.7],
  )
  expect(ties.map(({ samePrecision }) => samePrecision)).toEqual([
    null,
    { cutoff: 0.5, share: 1, precision: 1 / 3 },
  ])
})

test('usual cut-offs are multiples of 0.05 in the middle of the scores, or their median', () => {
  expect(usualCutoffs(scored(hundred))).toEqual(
    Array.from({ length: 18 }, (_, i) => ((i + 2) * 5) / 100).filter(c => c <= 0.95),
  )
  expect(usualCutoffs(scored([0.731, 0.732, 0.733]))).toEqual([0.732])
  expect(usualCutoffs([])).toEqual([])
})
