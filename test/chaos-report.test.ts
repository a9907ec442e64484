// Which recoveries `npm run chaos` accepts: each has a limit of its own, and time in which a later
// fault stopped everything counts only as long as it did.

import { expect, test } from 'vitest'
import { type Played, rowOf } from './chaos/report.ts'
import type { FaultTime, Trial, Wounds } from './chaos/trial.ts'

const time = (fault: string, fromS: number, toS: number): FaultTime => ({
  fault,
  fromMs: 1000 * fromS,
  toMs: 1000 * toS,
})

/** What of a trial with these faults broke a promise. */
function broken({ recoveries, outages = [] }: Partial<Pick<Wounds, 'recoveries' | 'outages'>>) {
  const wounds: Wounds = {
    given: 1,
    recoveries: recoveries ?? [],
    outages,
    healing: [],
    taken: [],
    leftMs: [],
    leftLate: 0,
    foreignReplies: 0,
    lies: 0,
    broken: [],
  }
  const trial: Trial = {
    wounds,
    documents: 1,
    seconds: 1,
    shards: 1,
    lost: 0,
    doubled: 0,
    foreign: 0,
    digest: '',
    paidAgain: 0,
    underWay: 0,
    overwritten: 0,
    stalls: 0,
    takeovers: [],
    longestGapMs: 0,
    endedAlone: [],
    broken: [],
  }
  const played: Played = { name: 'storm', scenario: {}, faults: 1, s3Faults: 0, trial, calm: undefined }
  return rowOf(played).broken.map(line => line.replace(/ took.*/, ''))
}

test('a recovery beyond its limit is broken where no other fault happened within it', () => {
  expect(broken({ recoveries: [time('freeze', 0, 35)] })).toEqual([])
  expect(broken({ recoveries: [time('freeze', 0, 36)] })).toEqual(['recovery of freeze'])
  // An outage before it excuses nothing.
  expect(broken({ recoveries: [time('freeze', 20, 60)], outages: [time('Redis silent', 0, 19)] })).toEqual([
    'recovery of freeze',
  ])
})

test('an outage within a recovery excuses its own time, and that until the fleet continued', () => {
  const outages = [time('S3 silent', 5, 20)]
  const continued = time('S3 silent', 20, 24)
  // 19 s of 54 are excused, of 55 too few.
  expect(broken({ recoveries: [time('freeze', 0, 54), continued], outages })).toEqual([])
  expect(broken({ recoveries: [time('freeze', 0, 55), continued], outages })).toEqual(['recovery of freeze'])
  // Without a recovery of its own, the outage alone.
  expect(broken({ recoveries: [time('freeze', 0, 51)], outages })).toEqual(['recovery of freeze'])
})

test('the time after an outage is excused for the deadline of a request at most', () => {
  const outages = [time('S3 silent', 5, 20)]
  const late = time('S3 silent', 20, 50)
  expect(broken({ recoveries: [time('freeze', 0, 69), late], outages })).toEqual([])
  expect(broken({ recoveries: [time('freeze', 0, 70.5), late], outages })).toEqual(['recovery of freeze'])
})

test('two outages at the same time are excused once, and no number of them excuses 70 s', () => {
  const outages = [0, 1, 2, 3].map(n => time('Redis silent', 15 * n, 15 * n + 15))
  const recoveries = [time('freeze', 0, 71), time('Redis silent', 60, 61)]
  expect(broken({ recoveries, outages })).toEqual(['recovery of freeze'])
  expect(broken({ recoveries: [time('freeze', 0, 69), ...recoveries.slice(1)], outages })).toEqual([])
  const twice = [time('S3 silent', 5, 20), time('Redis full', 5, 20)]
  expect(broken({ recoveries: [time('freeze', 0, 50.5)], outages: twice })).toEqual(['recovery of freeze'])
})
