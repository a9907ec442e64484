// The contract of the limit coordinator, for the implementations in memory and in Redis.

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
/** Repeats `ask` until the view matches; the test's timeout bounds it. */
async function until(ask: () => Promise<LimitView>, fits: (view: LimitView) => boolean): Promise<LimitView> {
  for (;;) {
    const view = await ask()
    if (fits(view)) return view
  }
}

describe.each(KINDS)('the limit coordinator %s', (_name, open) => {
  test('counts the members with demand and assigns each an index', async () => {
    await using board = open({})
    await board.report(reportOf('b'))
    await board.report(reportOf('a'))
    expect(await board.report(reportOf('c'))).toMatchObject({ members: 3, parts: 3, part: 2 })
    expect(await board.report(reportOf('a'))).toMatchObject({ members: 3, parts: 3, part: 0 })
    expect(await board.report(reportOf('b', { hasDemand: false }))).toMatchObject({ members: 2 })
    expect(await board.report(reportOf('c'))).toMatchObject({ members: 2, parts: 2, part: 1 })
  })

  test('removes a member that does not report within the TTL', async () => {
    await using board = open({ memberTtlMs: 30 })
    await board.report(reportOf('b'))
    await until(
      () => board.report(reportOf('a')),
      ({ members }) => members === 1,
    )
  })

  test('gives the sums of a window to one worker, and resets them', async () => {
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

  test("counts a member's peak once when it reports repeatedly", async () => {
    await using board = open({ windowMs: 0, minOutcomes: 3 })
    for (let i = 0; i < 2; i++) await board.report(reportOf('a', answered(1)))
    expect((await board.report(reportOf('a', answered(1)))).window?.peakInFlight).toBe(10)
  })

  test('closes at most one window per windowMs', async () => {
    await using board = open({ windowMs: 60_000, minOutcomes: 1 })
    for (let i = 0; i < 10; i++) expect((await board.report(reportOf('a', answered(5)))).window).toBeNull()
  })

  test('shows the committed state to all members, and ignores a commit of an earlier round', async () => {
    await using board = open({ windowMs: 0, minOutcomes: 1 })
    const first = await board.report(reportOf('a', answered(1)))
    const second = await board.report(reportOf('b', answered(1)))
    await board.commit(first.round, { state: { limit: 1 }, unavailable: null })
    await board.commit(second.round, { state: { limit: 96 }, unavailable: null })
    expect((await board.report(reportOf('c'))).state).toEqual({ limit: 96 })
  })

  test('closes the window at once when the endpoint becomes unavailable, and at the first reply after that', async () => {
    await using board = open({ windowMs: 0, minOutcomes: 100 })
    const { window, round } = await board.report(reportOf('a', { sums: { ...SUMS, unavailable: 1 } }))
    expect(window).toMatchObject({ unavailable: 1 })
    await board.commit(round, gone)
    expect(await board.report(reportOf('b'))).toMatchObject({ unavailable: 'warming', window: null })
    expect((await board.report(reportOf('b', answered(1)))).window).toMatchObject({ replies: 1 })
  })

  test('assigns one prober, and another one when it stops reporting', async () => {
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

  test("reports how long the endpoint is unavailable, with the prober's reason", async () => {
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

test('the first report restores the state when Redis lost its data', async () => {
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

test('a report fails at once when Redis is unreachable', async () => {
  const other = await startRedis()
  await using board = openLimitCoordinator(other.url, 'x')
  await board.report(reportOf('a'))
  await other[Symbol.asyncDispose]()
  await expect(board.report(reportOf('a'))).rejects.toThrow()
})

test('queues share the limit of an endpoint equally, whatever their numbers of workers', async () => {
  const [limit, endpoint] = [101, `endpoint ${boards++}`]
  await using first = openLimitCoordinator({ url: redis.url, queue: 'first' }, endpoint)
  await using second = openLimitCoordinator({ url: redis.url, queue: 'second' }, endpoint)
  const names = ['a', 'b', 'c', 'd', 'e']
  const reports = () => [...names.map(name => first.report(reportOf(name))), second.report(reportOf('a'))]
  await Promise.all(reports())
  const views = await Promise.all(reports())
  const shares = views.map(({ part, parts }) => Math.floor(limit / parts) + (part < limit % parts ? 1 : 0))
  expect(shares.reduce((sum, share) => sum + share)).toBe(limit)
  expect(shares.at(-1)).toBeGreaterThanOrEqual(50)
  expect(Math.min(...shares)).toBeGreaterThanOrEqual(10)
  expect(views[0]).toMatchObject({ members: 6 })
})
