import { expect, test } from 'vitest'
import { createRunBackoff } from '../src/run-backoff.ts'

let ms = 0
const createBackoff = () => {
  ms = 0
  return createRunBackoff(() => ms)
}

test('a blocked run is skipped until its delay is over, then while its single job is in progress', () => {
  const backoff = createBackoff()
  expect(backoff.blocked('a', 2_000)).toBe(2_000)
  ms = 1_999
  expect(backoff.skipped).toEqual(['a'])
  ms = 2_000
  expect(backoff.skipped).toEqual([])
  backoff.started('a')
  ms = 900_000
  expect(backoff.skipped).toEqual(['a'])
  backoff.passed('a')
  expect(backoff.skipped).toEqual([])
})

test('the delay doubles to 30 s while single jobs fail, and is that of the failure where it is longer', () => {
  const backoff = createBackoff()
  const delays: number[] = []
  for (const delayMs of [2_000, 2_500, 2_000, 2_000, 2_000, 2_000, 60_000]) {
    delays.push(backoff.blocked('a', delayMs))
    ms += delays.at(-1) ?? 0
    backoff.started('a')
  }
  expect(delays).toEqual([2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 60_000])
  backoff.passed('a')
  expect(backoff.blocked('a', 2_000)).toBe(2_000)
})

test('jobs of a run that were in progress together and fail together count once', () => {
  const backoff = createBackoff()
  for (let job = 0; job < 4; job += 1) backoff.started('a')
  expect([3_000, 2_000, 4_000, 2_000].map(delayMs => backoff.blocked('a', delayMs))).toEqual([
    3_000, 3_000, 4_000, 4_000,
  ])
  expect(backoff.skipped).toEqual(['a'])
})

test('a job of another run is not affected', () => {
  const backoff = createBackoff()
  backoff.blocked('a', 2_000)
  backoff.started('b')
  backoff.passed('b')
  expect(backoff.skipped).toEqual(['a'])
})
