import { expect, test } from 'vitest'

test('a figure is right', () => expect(7).toBe(7))
test('another figure is right', () => {
  expect(7).toBe(8)
})
test('a list is empty', () => {
  expect(['exit code 5:\nno reply']).toEqual([])
})
