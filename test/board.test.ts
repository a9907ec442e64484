// The board in memory and the board in Redis are one board: each promise is held by both.

import { type LocalRedis, startRedis } from '@reembed/local'
import { type Board, type BoardOptions, createBoard, openBoard, type Report, type View } from '@reembed/queue'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

let redis: LocalRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis[Symbol.asyncDispose]())

let boards = 0
const KINDS: [string, (options: BoardOptions) => Board][] = [
  ['in memory', options => createBoard({ ...options, now: Date.now })],
  ['in Redis', options => openBoard(redis.url, `endpoint ${boards++}`, options)],
]
const SUMS = { replies: 0, inputs: 0, refusals: 0, absences: 0, queueMs: 0, inferenceMs: 0 }
const reportOf = (worker: string, more: Partial<Report> = {}): Report => ({
  worker,
  demand: true,
  sums: SUMS,
  peak: 0,
  known: { state: { limit: 64 }, away: null },
  canProbe: true,
  ...more,
})
const answered = (replies: number): Partial<Report> => ({
  sums: { ...SUMS, replies, inputs: 32 * replies, queueMs: 100 * replies, inferenceMs: 20 * replies },
  peak: 10 * replies,
})
const gone: Report['known'] = { state: { limit: 64 }, away: 'warming' }
/** Asks again and again until the answer fits; fails with the test's own deadline. */
async function until(ask: () => Promise<View>, fits: (view: View) => boolean): Promise<View> {
  for (;;) {
    const view = await ask()
    if (fits(view)) return view
  }
}

describe.each(KINDS)('the board %s', (_name, open) => {
  test('counts the workers with demand and gives each its place', async () => {
    await using board = open({})
    await board.report(reportOf('b'))
    await board.report(reportOf('a'))
    expect(await board.report(reportOf('c'))).toMatchObject({ workers: 3, place: 2 })
    expect(await board.report(reportOf('a'))).toMatchObject({ workers: 3, place: 0 })
    expect(await board.report(reportOf('b', { demand: false }))).toMatchObject({ workers: 2 })
    expect(await board.report(reportOf('c'))).toMatchObject({ workers: 2, place: 1 })
  })

  test('forgets a worker that it has not heard of for long', async () => {
    await using board = open({ expiryMs: 30 })
    await board.report(reportOf('b'))
    await until(
      () => board.report(reportOf('a')),
      ({ workers }) => workers === 1,
    )
  })

  test('gives all sums of a window to one worker, and starts anew', async () => {
    await using board = open({ windowMs: 0, endings: 10 })
    expect(await board.report(reportOf('a', answered(4)))).toMatchObject({ step: null, turn: 0 })
    const { step, turn } = await board.report(reportOf('b', answered(6)))
    expect(step).toEqual({
      ...{ replies: 10, inputs: 320, refusals: 0, absences: 0, queueMs: 1_000, inferenceMs: 200, peak: 100 },
      ms: expect.any(Number),
    })
    expect(turn).toBe(1)
    expect(await board.report(reportOf('a', answered(9)))).toMatchObject({ step: null, turn: 1 })
  })

  test('a worker’s peak counts once, however often it reports', async () => {
    await using board = open({ windowMs: 0, endings: 3 })
    for (let i = 0; i < 2; i++) await board.report(reportOf('a', answered(1)))
    expect((await board.report(reportOf('a', answered(1)))).step?.peak).toBe(10)
  })

  test('takes one step per window', async () => {
    await using board = open({ windowMs: 60_000, endings: 1 })
    for (let i = 0; i < 10; i++) expect((await board.report(reportOf('a', answered(5)))).step).toBeNull()
  })

  test('the state that the stepper settles is what all see; one that comes late is refused', async () => {
    await using board = open({ windowMs: 0, endings: 1 })
    const first = await board.report(reportOf('a', answered(1)))
    const second = await board.report(reportOf('b', answered(1)))
    await board.settle(first.turn, { state: { limit: 1 }, away: null })
    await board.settle(second.turn, { state: { limit: 96 }, away: null })
    expect((await board.report(reportOf('c'))).state).toEqual({ limit: 96 })
  })

  test('when all met nobody it says so at once; the first reply is worth a step in any window', async () => {
    await using board = open({ windowMs: 0, endings: 100 })
    const { step, turn } = await board.report(reportOf('a', { sums: { ...SUMS, absences: 1 } }))
    expect(step).toMatchObject({ absences: 1 })
    await board.settle(turn, gone)
    expect(await board.report(reportOf('b'))).toMatchObject({ away: 'warming', step: null })
    expect((await board.report(reportOf('b', answered(1)))).step).toMatchObject({ replies: 1 })
  })

  test('one worker alone looks whether the endpoint is back, another when it vanished', async () => {
    await using board = open({ expiryMs: 50 })
    const ask = (worker: string) => board.report(reportOf(worker, { known: gone }))
    expect(await ask('a')).toMatchObject({ away: 'warming', prober: true })
    expect(await ask('b')).toMatchObject({ away: 'warming', prober: false })
    expect(await ask('a')).toMatchObject({ prober: true })
    await until(
      () => ask('b'),
      ({ prober }) => prober,
    )
    expect(await ask('a')).toMatchObject({ prober: false })
  })

  test('tells for how long it is away and why, in the words of who looks', async () => {
    await using board = open({})
    await board.report(reportOf('a', { known: gone }))
    const why = { state: { limit: 64 }, away: 'HTTP 401' }
    expect(await board.report(reportOf('a', { known: why }))).toMatchObject({ away: 'HTTP 401' })
    expect(await board.report(reportOf('b', { known: gone }))).toMatchObject({ away: 'HTTP 401' })
    await until(
      () => board.report(reportOf('b', { known: gone })),
      ({ awayMs }) => awayMs > 5,
    )
  })
})

test('a Redis that was emptied is told the state again by the first who reports', async () => {
  await using board = openBoard(redis.url, 'emptied')
  await board.report(reportOf('a', { known: { state: { limit: 480 }, away: null } }))
  const client = new Redis(redis.url)
  await client.flushall()
  client.disconnect()
  expect((await board.report(reportOf('b', { known: { state: { limit: 470 }, away: null } }))).state).toEqual(
    {
      limit: 470,
    },
  )
})

test('a board whose Redis is gone says so at once instead of waiting', async () => {
  const other = await startRedis()
  await using board = openBoard(other.url, 'x')
  await board.report(reportOf('a'))
  await other[Symbol.asyncDispose]()
  await expect(board.report(reportOf('a'))).rejects.toThrow()
})
