// The limit coordinator in memory and the one in Redis must behave alike: each test runs with both.

import { type LocalRedis, startRedis } from '@reembed/local'
import {
  createLimitCoordinator,
  type LimitCoordinator,
  type LimitCoordinatorOptions,
  type LimitView,
  type MemberReport,
  openLimitCoordinator,
} from '@reembed/queue'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

let redis: LocalRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis[Symbol.asyncDispose]())

let boards = 0
const KINDS: [string, (options: LimitCoordinatorOptions) => LimitCoordinator][] = [
  ['in memory', options => createLimitCoordinator({ ...options, now: Date.now })],
  ['in Redis', options => openLimitCoordinator(redis.url, `endpoint ${boards++}`, options)],
]
const SUMS = { replies: 0, inputs: 0, refusals: 0, unavailable: 0, queueMs: 0, inferenceMs: 0 }
const reportOf = (worker: string, more: Partial<MemberReport> = {}): MemberReport => ({
  worker,
  hasDemand: true,
  sums: SUMS,
  peakInFlight: 0,
  lastCommit: { state: { limit: 64 }, unavailable: null },
  canProbe: true,
  ...more,
})
const answered = (replies: number): Partial<MemberReport> => ({
  sums: { ...SUMS, replies, inputs: 32 * replies, queueMs: 100 * replies, inferenceMs: 20 * replies },
  peakInFlight: 10 * replies,
})
const gone: MemberReport['lastCommit'] = { state: { limit: 64 }, unavailable: 'warming' }
/** Asks again and again until the answer fits; fails with the test's own deadline. */
async function until(ask: () => Promise<LimitView>, fits: (view: LimitView) => boolean): Promise<LimitView> {
  for (;;) {
    const view = await ask()
    if (fits(view)) return view
  }
}

describe.each(KINDS)('the limit coordinator %s', (_name, open) => {
  test('counts the workers with demand and gives each its index', async () => {
    await using board = open({})
    await board.report(reportOf('b'))
    await board.report(reportOf('a'))
    expect(await board.report(reportOf('c'))).toMatchObject({ members: 3, memberIndex: 2 })
    expect(await board.report(reportOf('a'))).toMatchObject({ members: 3, memberIndex: 0 })
    expect(await board.report(reportOf('b', { hasDemand: false }))).toMatchObject({ members: 2 })
    expect(await board.report(reportOf('c'))).toMatchObject({ members: 2, memberIndex: 1 })
  })

  test('removes a worker that has not reported for a while', async () => {
    await using board = open({ memberTtlMs: 30 })
    await board.report(reportOf('b'))
    await until(
      () => board.report(reportOf('a')),
      ({ members }) => members === 1,
    )
  })

  test('gives all sums of a window to one worker and resets them', async () => {
    await using board = open({ windowMs: 0, minOutcomes: 10 })
    expect(await board.report(reportOf('a', answered(4)))).toMatchObject({ window: null, round: 0 })
    const { window, round } = await board.report(reportOf('b', answered(6)))
    expect(window).toEqual({
      ...{
        replies: 10,
        inputs: 320,
        refusals: 0,
        unavailable: 0,
        queueMs: 1_000,
        inferenceMs: 200,
        peakInFlight: 100,
      },
      ms: expect.any(Number),
    })
    expect(round).toBe(1)
    expect(await board.report(reportOf('a', answered(9)))).toMatchObject({ window: null, round: 1 })
  })

  test('a worker’s peak counts once, however often it reports', async () => {
    await using board = open({ windowMs: 0, minOutcomes: 3 })
    for (let i = 0; i < 2; i++) await board.report(reportOf('a', answered(1)))
    expect((await board.report(reportOf('a', answered(1)))).window?.peakInFlight).toBe(10)
  })

  test('takes one step per window', async () => {
    await using board = open({ windowMs: 60_000, minOutcomes: 1 })
    for (let i = 0; i < 10; i++) expect((await board.report(reportOf('a', answered(5)))).window).toBeNull()
  })

  test('the committed state is visible to all members, and a late commit is refused', async () => {
    await using board = open({ windowMs: 0, minOutcomes: 1 })
    const first = await board.report(reportOf('a', answered(1)))
    const second = await board.report(reportOf('b', answered(1)))
    await board.commit(first.round, { state: { limit: 1 }, unavailable: null })
    await board.commit(second.round, { state: { limit: 96 }, unavailable: null })
    expect((await board.report(reportOf('c'))).state).toEqual({ limit: 96 })
  })

  test('reports an unreachable endpoint at once when no member got a reply; the first reply allows a step in any window', async () => {
    await using board = open({ windowMs: 0, minOutcomes: 100 })
    const { window, round } = await board.report(reportOf('a', { sums: { ...SUMS, unavailable: 1 } }))
    expect(window).toMatchObject({ unavailable: 1 })
    await board.commit(round, gone)
    expect(await board.report(reportOf('b'))).toMatchObject({ unavailable: 'warming', window: null })
    expect((await board.report(reportOf('b', answered(1)))).window).toMatchObject({ replies: 1 })
  })

  test('only one worker probes an unavailable endpoint, and another one when the prober disappears', async () => {
    await using board = open({ memberTtlMs: 50 })
    const ask = (worker: string) => board.report(reportOf(worker, { lastCommit: gone }))
    expect(await ask('a')).toMatchObject({ unavailable: 'warming', isProber: true })
    expect(await ask('b')).toMatchObject({ unavailable: 'warming', isProber: false })
    expect(await ask('a')).toMatchObject({ isProber: true })
    await until(
      () => ask('b'),
      ({ isProber }) => isProber,
    )
    expect(await ask('a')).toMatchObject({ isProber: false })
  })

  test('reports since when the endpoint is unavailable, with the reason of the prober', async () => {
    await using board = open({})
    await board.report(reportOf('a', { lastCommit: gone }))
    const why = { state: { limit: 64 }, unavailable: 'HTTP 401' }
    expect(await board.report(reportOf('a', { lastCommit: why }))).toMatchObject({ unavailable: 'HTTP 401' })
    expect(await board.report(reportOf('b', { lastCommit: gone }))).toMatchObject({ unavailable: 'HTTP 401' })
    await until(
      () => board.report(reportOf('b', { lastCommit: gone })),
      ({ unavailableMs }) => unavailableMs > 5,
    )
  })
})

test('the first report restores the state when Redis was emptied', async () => {
  await using board = openLimitCoordinator(redis.url, 'emptied')
  await board.report(reportOf('a', { lastCommit: { state: { limit: 480 }, unavailable: null } }))
  const client = new Redis(redis.url)
  await client.flushall()
  client.disconnect()
  expect(
    (await board.report(reportOf('b', { lastCommit: { state: { limit: 470 }, unavailable: null } }))).state,
  ).toEqual({
    limit: 470,
  })
})

test('the coordinator fails at once, without waiting, when Redis is unreachable', async () => {
  const other = await startRedis()
  await using board = openLimitCoordinator(other.url, 'x')
  await board.report(reportOf('a'))
  await other[Symbol.asyncDispose]()
  await expect(board.report(reportOf('a'))).rejects.toThrow()
})
