import { describe, expect, test } from 'vitest'
import { createWatch } from '../src/queue/watch.ts'

let ms = 0
const watch = () => {
  ms = 0
  return createWatch({ lockMs: 20_000, stuckMs: 60_000, now: () => ms })
}

describe('P-WATCHDOG: a lock that is not renewed', () => {
  test('is given up after its time, once, and not before', () => {
    const { taken, lost } = watch()
    taken('a')
    ms = 20_000
    expect(lost()).toEqual([])
    ms = 20_001
    expect(lost()).toEqual(['a'])
    expect(lost()).toEqual([])
  })

  test('is kept by renewals, and forgotten with its job', () => {
    const { taken, renewed, ended, lost } = watch()
    taken('a')
    taken('b')
    ms = 15_000
    renewed(['a', 'nobody'])
    ended('b')
    ms = 30_000
    expect(lost()).toEqual([])
    ms = 35_001
    expect(lost()).toEqual(['a'])
  })
})

describe('P-WATCHDOG: a fetch that never comes back', () => {
  test('shows when jobs wait for a minute and none runs', () => {
    const { stuck } = watch()
    expect(stuck(3)).toBe(false)
    ms = 59_999
    expect(stuck(3)).toBe(false)
    ms = 60_000
    expect(stuck(3)).toBe(true)
  })

  test('is not assumed while a job runs, nor where nothing waits, nor right after a job', () => {
    const { stuck, taken, ended } = watch()
    stuck(1)
    taken('long')
    ms = 120_000
    expect(stuck(1)).toBe(false)
    ended('long')
    expect(stuck(1)).toBe(false)
    ms = 179_999
    expect(stuck(1)).toBe(false)
    expect(stuck(0)).toBe(false)
    ms = 239_000
    expect(stuck(1)).toBe(false)
  })
})
