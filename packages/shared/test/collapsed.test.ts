import { describe, expect, test } from 'vitest'
import { collapsedTexts } from '../src/collapsed.ts'

const DIMENSIONS = 4
const INFO = { dimensions: DIMENSIONS, maxInputLength: 16 }
const different = (count: number): string[] => Array.from({ length: count }, (_, i) => `number ${i}`)

/**
 * The vector of text i has the value `vectorAt(i)`; rows are in reverse, as rows of a window may
 * be.
 */
function found(texts: readonly string[], vectorAt: (i: number) => number, canary?: number): number {
  const rows = texts.map((_, i) => texts.length - 1 - i)
  const vectors = new Float32Array(texts.length * DIMENSIONS)
  for (const [i, row] of rows.entries()) vectors.fill(vectorAt(i), row * DIMENSIONS, (row + 1) * DIMENSIONS)
  return collapsedTexts({ texts, rows, canary }, vectors, INFO)
}

describe('collapsedTexts', () => {
  test('finds one vector for all texts, also where that of the canary is right', () => {
    expect(found(different(16), () => 1)).toBe(16)
    for (const canary of [0, 7, 16])
      expect(found(different(17), i => (i === canary ? 2 : 1), canary)).toBe(16)
  })

  test('finds one vector for most texts, wherever the others are', () => {
    expect(found(different(32), i => (i % 3 === 0 ? i : 1))).toBe(21)
    expect(found(different(32), i => (i < 15 ? i + 2 : 1))).toBe(17)
  })

  test('accepts half of the texts, fewer than 16, and one vector for each text', () => {
    expect(found(different(32), i => (i % 2 === 0 ? i + 2 : 1))).toBe(0)
    expect(found(different(15), () => 1)).toBe(0)
    expect(found(different(16), () => 1, 3)).toBe(0)
    expect(found(different(64), i => i)).toBe(0)
  })

  test.each<[string, (i: number) => string]>([
    ['agree up to the limit of the model', i => `the same licence, then ${i}`],
    ['hold signs alone', i => '😀'.repeat(i + 1)],
    ['differ in case, spaces and accents', i => ' '.repeat(i) + ['Größe', 'GRÖßE', 'grösse'][i % 3]],
  ])('accepts one vector for texts that %s', (_what, text) => {
    expect(
      found(
        Array.from({ length: 32 }, (_, i) => text(i)),
        () => 1,
      ),
    ).toBe(0)
  })
})
