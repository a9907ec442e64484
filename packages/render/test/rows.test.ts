// Rows of names and values on a terminal.

import { expect, test } from 'vitest'
import { alignRows, wrapped } from '../src/rows.ts'

test('lines break at spaces, and a long word stays whole', () => {
  expect(wrapped('name   one two three four five six', 30, 7)).toBe(
    'name   one two three four five\n       six',
  )
  const path = '/a/very/long/path/that/is/longer/than/the/terminal'
  expect(wrapped(`name   in ${path} today`, 40, 7)).toBe(`name   in\n       ${path}\n       today`)
  expect(alignRows([['a', 'x'.repeat(300)]])).toBe(`a   ${'x'.repeat(300)}`)
})
