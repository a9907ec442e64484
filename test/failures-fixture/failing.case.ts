import { expect, test } from 'vitest'

test('a figure is right', () => expect(7).toBe(7))
test('another figure is right', () => {
  expect(7).toBe(8)
})
