// One run per due tick: with daylight saving, downtime, several producers, and a producer that dies
// or fails.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ReembedError } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { checkSchedule, type Schedule, TICK_RECLAIM_MS } from '../src/schedule/check.ts'
import { openCalendar } from '../src/schedule/cron.ts'

// The same examples in each run.
fc.configureGlobal({ seed: 1 })

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const at = (iso: string): number => Date.parse(iso)
const iso = (ms: number): string => new Date(ms).toISOString()

let path: string
let store: Store
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'reembed-ticks-'))
  store = await openStore(path, { create: true })
})
afterEach(async () => {
  await store[Symbol.asyncDispose]()
  await rm(path, { recursive: true, force: true })
})

const nightly: Schedule = { name: 'nightly', cron: '30 2 * * *', timezone: 'Europe/Berlin', when: 'always' }

/** Lets each producer check the schedule every `stepMs`; returns the ticks that were planned. */
async function ranBetween(
  schedule: Schedule,
  fromMs: number,
  toMs: number,
  { stepMs = 10 * MINUTE, producers = 1, down = [] as readonly (readonly [number, number])[] } = {},
): Promise<string[]> {
  const ran: string[] = []
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += stepMs) {
    if (down.some(([start, end]) => nowMs >= start && nowMs < end)) continue
    const checks = Array.from({ length: producers }, () =>
      checkSchedule(store, schedule, { nowMs, onDue: async () => ({ status: 'planned', run: iso(nowMs) }) }),
    )
    for (const check of await Promise.all(checks)) if (check.status === 'done') ran.push(iso(check.tickMs))
  }
  return ran
}

test('a tick at 2:30 comes at 3:00 in the night without 2:30, and at 2:30 in the next night', async () => {
  const ran = await ranBetween(nightly, at('2026-03-27T12:00:00Z'), at('2026-03-30T12:00:00Z'))
  // 2:30 in winter is 1:30 UTC; 3:00 in summer is 1:00 UTC.
  expect(ran).toEqual(['2026-03-28T01:30:00.000Z', '2026-03-29T01:00:00.000Z', '2026-03-30T00:30:00.000Z'])
})

test('a tick at 2:30 comes once in the night with two 2:30', async () => {
  const ran = await ranBetween(nightly, at('2026-10-23T12:00:00Z'), at('2026-10-26T12:00:00Z'))
  expect(ran).toEqual(['2026-10-24T00:30:00.000Z', '2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z'])
})

test('ticks missed during a downtime fold into one, and the next one comes on time', async () => {
  const ran = await ranBetween(nightly, at('2026-11-01T12:00:00Z'), at('2026-11-08T12:00:00Z'), {
    down: [[at('2026-11-03T00:00:00Z'), at('2026-11-06T09:00:00Z')]],
  })
  expect(ran).toEqual([
    '2026-11-02T01:30:00.000Z',
    '2026-11-06T01:30:00.000Z', // of the 3rd, 4th, 5th and 6th
    '2026-11-07T01:30:00.000Z',
    '2026-11-08T01:30:00.000Z',
  ])
})

test('a tick due before the first check does not count', async () => {
  const nowMs = at('2026-11-01T02:00:00Z')
  const onDue = () => Promise.reject(new Error('nothing was due'))
  expect(await checkSchedule(store, nightly, { nowMs, onDue })).toEqual({ status: 'not_due' })
  expect(await checkSchedule(store, nightly, { nowMs: nowMs + 20 * HOUR, onDue })).toEqual({
    status: 'not_due',
  })
})

test('eight producers that check at the same moment plan a tick once', async () => {
  const hourly: Schedule = { name: 'hourly', cron: '0 * * * *', timezone: 'UTC', when: 'always' }
  const ran = await ranBetween(hourly, at('2026-11-01T00:30:00Z'), at('2026-11-01T12:30:00Z'), {
    producers: 8,
    stepMs: 15 * MINUTE,
  })
  expect(ran).toEqual(Array.from({ length: 12 }, (_, i) => iso(at('2026-11-01T01:00:00Z') + i * HOUR)))
})

test('a tick is claimed again after its producer failed or died, once per expiry, and eight times at most', async () => {
  let nowMs = at('2026-11-01T12:00:00Z')
  const check = (onDue: () => Promise<never> | Promise<{ status: 'planned'; run: string }>) =>
    checkSchedule(store, nightly, { nowMs, onDue })
  const fail = () => Promise.reject(new Error('the endpoint does not answer'))
  const plan = async () => ({ status: 'planned', run: 'r' }) as const
  await check(fail)
  nowMs = at('2026-11-02T01:30:00Z')
  expect(await check(fail)).toMatchObject({ status: 'failed', tickMs: nowMs })
  nowMs += TICK_RECLAIM_MS - 1
  expect(await check(plan)).toMatchObject({ status: 'claimed' })
  nowMs += 1
  for (let claim = 1; claim < 8; claim += 1) {
    expect(await check(fail)).toMatchObject({ status: 'failed' })
    nowMs += TICK_RECLAIM_MS
  }
  expect(await check(plan)).toMatchObject({ status: 'abandoned' })
  nowMs = at('2026-11-03T01:31:00Z')
  expect(await check(plan)).toMatchObject({ status: 'done' })
  expect(await check(plan)).toEqual({ status: 'not_due' })
})

test.for([
  ['0 3 * *', 'UTC', "'0 3 * *' is not a cron expression"],
  ['61 * * * *', 'UTC', 'Invalid value for minute: 61'],
  ['* * * * * *', 'UTC', 'is not a cron expression'],
  ['0 0 30 2 *', 'UTC', "'0 0 30 2 *' never matches a date"],
  ['0 3 * * *', 'Mars/Olympus', "there is no time zone 'Mars/Olympus'"],
] as const)('%s in %s is refused by name', ([cron, zone, message]) => {
  expect(() => openCalendar(cron, zone)).toThrow(ReembedError)
  expect(() => openCalendar(cron, zone)).toThrow(message)
})

const crons = fc.tuple(
  fc.constantFrom('0 * * * *', '30 2 * * *', '*/15 * * * *', '0 3 * * 1', '15 0,12 * * *', '0 0 1 * *'),
  fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu'),
)
test('the latest tick is at or before now, and the next one is later', () => {
  const changes = [
    '2026-03-29T01:00Z',
    '2026-10-25T01:00Z',
    '2026-03-08T07:00Z',
    '2026-11-01T06:00Z',
    '2026-04-04T15:00Z',
    '2026-10-03T15:30Z',
  ]
  const times = fc.oneof(
    fc.integer({ min: at('2026-01-01'), max: at('2027-01-01') }),
    fc
      .tuple(fc.constantFrom(...changes), fc.integer({ min: -3 * HOUR, max: 3 * HOUR }))
      .map(([change, ms]) => at(change) + ms),
  )
  fc.assert(
    fc.property(crons, times, ([cron, zone], nowMs) => {
      const calendar = openCalendar(cron, zone)
      const latest = calendar.latest(nowMs) ?? Number.NaN
      const [next = Number.NaN] = calendar.next(nowMs, 1)
      expect(latest).toBeLessThanOrEqual(nowMs)
      expect(calendar.latest(latest)).toBe(latest)
      expect(calendar.next(latest, 1)).toEqual([next])
      expect(calendar.latest(next)).toBe(next)
    }),
    { numRuns: 300 },
  )
})
