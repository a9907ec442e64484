import { describe, expect, test } from 'vitest'
import { createDeadline } from '../src/limiter/deadline.ts'
import { createRetryBudget } from '../src/limiter/retry-budget.ts'
import { createClock } from './parts/simulated-clock.ts'

describe('the deadline of a request', () => {
  test('is a minute until replies are known, then 30 s while they are quick', () => {
    const deadline = createDeadline()
    expect(deadline.ms).toBe(60_000)
    for (let i = 0; i < 20; i++) deadline.learn(50)
    expect(deadline.ms).toBe(30_000)
  })
  test('is six times what all but five in a hundred replies of late took', () => {
    const deadline = createDeadline()
    for (let i = 0; i < 200; i++) deadline.learn(i < 190 ? 10_000 : 500_000)
    expect(deadline.ms).toBe(3_000_000)
    for (let i = 0; i < 200; i++) deadline.learn(i < 195 ? 10_000 : 500_000)
    expect(deadline.ms).toBe(60_000)
  })
})

describe('the retry budget', () => {
  /** How many of endless retries go out in `seconds`, with `answers` a second. */
  async function sent(seconds: number, answers: number, workers = 1): Promise<number> {
    const clock = createClock()
    const budget = createRetryBudget(clock, () => workers)
    let count = 0
    const retry = async (): Promise<void> => {
      for (;;) {
        await budget.spend()
        count++
      }
    }
    const answer = async (): Promise<void> => {
      for (;;) {
        await clock.sleep(1_000 / answers)
        budget.answered()
      }
    }
    for (let i = 0; i < 500; i++) void retry()
    if (answers > 0) void answer()
    await clock.runUntil(seconds * 1_000)
    return count
  }

  test('is ten a second when nothing is answered', async () => {
    expect(await sent(60, 0)).toBeLessThanOrEqual(610)
    expect(await sent(60, 0)).toBeGreaterThan(500)
  })
  test('is ten a second for the whole fleet, not for each worker', async () => {
    expect(await sent(60, 0, 32)).toBeLessThanOrEqual(10 + 60 * (10 / 32) + 1)
  })
  test('grows by one for five answers', async () => {
    const more = (await sent(60, 100)) - (await sent(60, 0))
    expect(more).toBeGreaterThan(0.9 * 60 * 20)
    expect(more).toBeLessThan(1.1 * 60 * 20)
  })
  test('who stops waiting takes nothing', async () => {
    const clock = createClock()
    const budget = createRetryBudget(clock, () => 1)
    for (let i = 0; i < 10; i++) await budget.spend()
    const stop = new AbortController()
    const waiting = budget.spend(stop.signal)
    stop.abort(new Error('stopped'))
    await expect(waiting).rejects.toThrow('stopped')
    const next = budget.spend()
    await clock.runUntil(150)
    await next
  })
})
