import { expect, test } from 'vitest'
import { interruptAfter } from '../src/interrupt-after.ts'

const late = (): Error => new Error('too late')
const catastrophic = (): boolean => /^(a+)+$/.test(`${'a'.repeat(60)}!`)

test('a regular expression that backtracks without end is interrupted, and the next call runs', () => {
  expect(() => interruptAfter(50, catastrophic, late)).toThrow('too late')
  expect(interruptAfter(60_000, () => 7, late)).toBe(7)
})

test('a call inside another one has the limit of the outer one', () => {
  const started = performance.now()
  const inner = (): boolean => interruptAfter(60_000, catastrophic, late)
  expect(() => interruptAfter(50, inner, () => new Error('of the outer one'))).toThrow('of the outer one')
  expect(performance.now() - started).toBeLessThan(30_000)
})

test('errors and results of the work are those of the caller', () => {
  class Own extends Error {}
  const failing = (): never => {
    throw new Own('x')
  }
  expect(() => interruptAfter(60_000, failing, late)).toThrow(Own)
  expect(interruptAfter(60_000, () => [1], late)).toBeInstanceOf(Array)
})
