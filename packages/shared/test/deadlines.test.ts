// The limits of waits, and the reports of those that take long.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import {
  bodyMs,
  createTimeLimit,
  deadlines,
  startWait,
  unlessAborted,
  type WaitNotice,
  withDeadlines,
  within,
} from '../src/index.ts'

test('another timeout scales every limit, and an inner scope inherits it', () => {
  const { redis, store } = deadlines()
  expect({ redis, store }).toMatchObject({
    redis: { callMs: 60_000, readyMs: 30_000 },
    store: { replyMs: 20_000 },
  })
  withDeadlines({ timeoutMs: 6_000 }, () => {
    expect(deadlines().redis).toMatchObject({ callMs: 6_000, readyMs: 3_000, connectMs: 500 })
    withDeadlines({ onWait: () => {} }, () => expect(deadlines().timeoutMs).toBe(6_000))
  })
})

test('a body has the time of a call, and the same again for each MiB', () => {
  expect([bodyMs(60_000, 0), bodyMs(60_000, 2 * 1024 * 1024)]).toEqual([60_000, 180_000])
})

/** Reports arrive 10 ms after the beginning of a wait, then after 20, 40 … ms. */
async function reporting(use: (notices: WaitNotice[]) => Promise<void>): Promise<void> {
  const notices: WaitNotice[] = []
  await withDeadlines({ timeoutMs: 60, onWait: notice => notices.push(notice) }, () => use(notices))
}

test('a long wait is reported with growing intervals, and once for concurrent waits', async () => {
  await reporting(async notices => {
    using _first = startWait('Redis at x')
    using _second = startWait('Redis at x')
    await expect.poll(() => notices.length).toBeGreaterThanOrEqual(3)
    expect(notices.slice(0, 3).map(({ dependency, state }) => `${dependency} ${state}`)).toEqual(
      Array(3).fill('Redis at x silent'),
    )
    const [first = 0, second = 0, third = 0] = notices.map(({ ms }) => ms)
    expect([first >= 10, second >= 20, third >= 40]).toEqual([true, true, true])
  })
})

test('a dependency counts as silent until it answers, also between two waits', async () => {
  await reporting(async notices => {
    const scope = deadlines()
    const wait = startWait('S3')
    await expect.poll(() => notices.length).toBeGreaterThan(0)
    wait[Symbol.dispose]()
    expect([...scope.silentSince.keys()]).toEqual(['S3'])
    using next = startWait('S3')
    next.answered()
    expect(scope.silentSince.size).toBe(0)
    expect(notices.at(-1)).toMatchObject({ dependency: 'S3', state: 'answers_again' })
  })
})

test('a dependency that nothing waits for any more does not count as silent indefinitely', async () => {
  await reporting(async notices => {
    const scope = deadlines()
    const replica = startWait('a removed replica')
    await expect.poll(() => notices.length).toBeGreaterThan(0)
    replica[Symbol.dispose]()
    expect(scope.silentSince.size).toBe(1)
    await expect.poll(() => scope.silentSince.size).toBe(0)
  })
})

test('a dependency that a caller gave up counts as silent, although no wait took long', async () => {
  await reporting(async () => {
    const scope = deadlines()
    using wait = startWait('S3')
    wait.gaveUp()
    expect([...scope.silentSince.keys()]).toEqual(['S3'])
    wait.answered()
    expect(scope.silentSince.size).toBe(0)
  })
})

test('a wait that ends in time is not reported', async () => {
  await reporting(async notices => {
    startWait('S3')[Symbol.dispose]()
    await sleep(30)
    expect(notices).toEqual([])
  })
})

test('a time limit aborts its signal when the time is over, not while it is paused', async () => {
  using limit = createTimeLimit()
  limit.begin(5)
  limit.pause()
  await sleep(20)
  expect(limit.signal.aborted).toBe(false)
  limit.begin(5)
  await expect.poll(() => limit.signal.aborted).toBe(true)
  expect([limit.isOver, String(limit.signal.reason)]).toEqual([true, 'Error: no reply for 0 s'])
})

test('a time limit that its parent aborts is not over, and has the reason of the parent', () => {
  const parent = new AbortController()
  using limit = createTimeLimit(parent.signal)
  parent.abort('stop')
  expect([limit.signal.reason, limit.isOver]).toEqual(['stop', false])
})

test('within and unlessAborted end the wait for a promise that never settles', async () => {
  const never = new Promise<never>(() => {})
  await expect(within(5, never, () => new Error('late'))).rejects.toThrow('late')
  await expect(unlessAborted(AbortSignal.abort(new Error('stop')), never)).rejects.toThrow('stop')
  expect(await within(1_000, Promise.resolve(1), () => new Error('late'))).toBe(1)
})
