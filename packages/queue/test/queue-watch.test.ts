import { describe, expect, test } from 'vitest'
import { createWatch } from '../src/watch.ts'

let ms = 0
const watch = () => {
  ms = 0
  return createWatch({ lockMs: 20_000, stuckMs: 60_000, stillMs: 900_000, now: () => ms })
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

describe('P-WATCHDOG: a job that stands still', () => {
  test('is named when none of its documents got on for too long, once, although its lock is renewed', () => {
    const { taken, renewed, still } = watch()
    taken('a')
    ms = 900_000
    renewed(['a'])
    expect(still()).toEqual([])
    ms = 900_001
    expect(still()).toEqual(['a'])
    ms = 5_000_000
    expect(still()).toEqual([])
  })

  test('is not one that gets on or has ended; who got on and stands still again is named again', () => {
    const { taken, progressed, ended, still } = watch()
    taken('a')
    taken('b')
    ms = 800_000
    progressed('a')
    ended('b')
    progressed('b')
    ms = 1_700_000
    expect(still()).toEqual([])
    ms = 1_700_001
    expect(still()).toEqual(['a'])
    progressed('a')
    ms = 2_600_002
    expect(still()).toEqual(['a'])
  })
})
