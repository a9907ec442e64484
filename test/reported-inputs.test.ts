// The list of reported inputs: each cites tests that exist.

import { expect, test } from 'vitest'
import { isTestOf, missingTests } from './parts/cited-test.ts'
import { REPORTED_INPUTS } from './reported-inputs.ts'

const SIBLINGS = 3

test('each reported input has a test, and three of siblings', () => {
  const numbers = REPORTED_INPUTS.map(({ number }) => number)
  expect(new Set(numbers).size).toBe(numbers.length)
  for (const { number, test: own, siblings } of REPORTED_INPUTS) {
    const cited = new Set([own, ...siblings].map(([file, name]) => `${file} ${name}`))
    expect(cited.size, `case ${number}`).toBe(1 + siblings.length)
    expect(siblings.length, `siblings of case ${number}`).toBeGreaterThanOrEqual(SIBLINGS)
  }
})

test('each test that the list cites exists, and is not skipped by its source', async () => {
  expect(await missingTests(REPORTED_INPUTS.flatMap(({ test, siblings }) => [test, ...siblings]))).toEqual([])
})

test('a name counts only as a whole string of the source', () => {
  expect(isTestOf("test('a run ends', () => {})", 'a run ends')).toBe(true)
  expect(isTestOf('test("a run\'s end", () => {})', "a run's end")).toBe(true)
  expect(isTestOf("test('a run ends late', () => {})", 'a run ends')).toBe(false)
  for (const modifier of ['skip', 'todo'])
    expect(isTestOf(`test.${modifier}('a run ends', () => {})`, 'a run ends')).toBe(false)
})
