import { describe, expect, test } from 'vitest'
import { createJobMonitor } from '../src/job-monitor.ts'

let ms = 0
const createMonitor = () => {
  ms = 0
  return createJobMonitor({ lockMs: 20_000, notFetchingMs: 60_000, noProgressMs: 900_000, now: () => ms })
}

describe('P-WATCHDOG: a lock that is not renewed', () => {
  test('is reported once after lockMs, and not before', () => {
    const { started, lostLocks } = createMonitor()
    started('a')
    ms = 20_000
    expect(lostLocks()).toEqual([])
    ms = 20_001
    expect(lostLocks()).toEqual(['a'])
    expect(lostLocks()).toEqual([])
  })

  test('is not reported after a renewal or after the end of its job', () => {
    const { started, renewed, ended, lostLocks } = createMonitor()
    started('a')
    started('b')
    ms = 15_000
    renewed(['a', 'unknown'])
    ended('b')
    ms = 30_000
    expect(lostLocks()).toEqual([])
    ms = 35_001
    expect(lostLocks()).toEqual(['a'])
  })
})

describe('P-WATCHDOG: a fetch that never returns', () => {
  test('is reported when jobs wait for notFetchingMs and none is running', () => {
    const { isNotFetching } = createMonitor()
    expect(isNotFetching(3)).toBe(false)
    ms = 59_999
    expect(isNotFetching(3)).toBe(false)
    ms = 60_000
    expect(isNotFetching(3)).toBe(true)
  })

  test('is not reported while a job is running, while no job waits, or right after a job', () => {
    const { isNotFetching, started, ended } = createMonitor()
    isNotFetching(1)
    started('long')
    ms = 120_000
    expect(isNotFetching(1)).toBe(false)
    ended('long')
    expect(isNotFetching(1)).toBe(false)
    ms = 179_999
    expect(isNotFetching(1)).toBe(false)
    expect(isNotFetching(0)).toBe(false)
    ms = 239_000
    expect(isNotFetching(1)).toBe(false)
  })
})

describe('P-WATCHDOG: a job without progress', () => {
  test('is reported once after noProgressMs, although its lock is renewed', () => {
    const { started, renewed, withoutProgress } = createMonitor()
    started('a')
    ms = 900_000
    renewed(['a'])
    expect(withoutProgress()).toEqual([])
    ms = 900_001
    expect(withoutProgress()).toEqual(['a'])
    ms = 5_000_000
    expect(withoutProgress()).toEqual([])
  })

  test('is not reported after progress or after its end, and is reported again after further progress', () => {
    const { started, progressed, ended, withoutProgress } = createMonitor()
    started('a')
    started('b')
    ms = 800_000
    progressed('a')
    ended('b')
    progressed('b')
    ms = 1_700_000
    expect(withoutProgress()).toEqual([])
    ms = 1_700_001
    expect(withoutProgress()).toEqual(['a'])
    progressed('a')
    ms = 2_600_002
    expect(withoutProgress()).toEqual(['a'])
  })
})
