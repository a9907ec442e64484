import { createSimulatedClock } from '@reembed/testing'
import { describe, expect, test } from 'vitest'
import { createDeadline } from '../src/deadline.ts'
import { initialLimit, type StatedLimits } from '../src/initial-limit.ts'
import { permitSize } from '../src/permit-size.ts'
import { createRetryBudget } from '../src/retry-budget.ts'
import { createTally } from '../src/tally.ts'

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

describe('the part of a request that may go now', () => {
  /** Of 32 inputs that wait, with a share of 256 and the time of each of ten replies. */
  const partAfter = (queueMs: number | null, inferenceMs: number | null, totalMs: number): number => {
    const tally = createTally()
    for (let i = 0; i < 10; i++) tally.answered(32, { queueMs, inferenceMs, totalMs })
    return permitSize(32, false, { limit: 256, inFlight: 0, serverMs: tally.serverMs })
  }

  test('is all of it where the server is quick, however late this worker is to read its replies', () => {
    expect(partAfter(1, 2, 4)).toBe(32)
    expect(partAfter(1, 2, 500)).toBe(32)
    expect(partAfter(null, null, 4)).toBe(32)
  })
  test('is small where the server is slow, so that many requests reach many replicas', () => {
    expect(partAfter(80, 20, 104)).toBe(8)
    expect(partAfter(null, null, 104)).toBe(8)
  })
})

describe('the limit to begin with', () => {
  const INFO = { maxBatchTokens: 16_384, maxBatchRequests: null, maxInputLength: 512 }
  test.each<[string, Partial<StatedLimits>, number]>([
    ['is 64 with TEI’s defaults: a batch of full texts computed, one waiting', {}, 64],
    ['follows the tokens that the server computes at once', { maxBatchTokens: 65_536 }, 256],
    ['does not take a long context for long documents', { maxInputLength: 8_192 }, 64],
    ['takes short inputs for short', { maxInputLength: 128 }, 256],
    ['follows the inputs that the server computes at once', { maxBatchRequests: 4 }, 8],
    ['is two where one text fills a batch', { maxBatchTokens: 300 }, 2],
    ['is TEI’s where the server states nothing', { maxBatchTokens: null, maxInputLength: null }, 64],
  ])('%s', (_, info, inputs) => {
    expect(initialLimit({ ...INFO, ...info })).toBe(inputs)
  })
})

describe('the retry budget', () => {
  /** How many of endless retries go out in `seconds`, with `answers` a second. */
  async function sent(seconds: number, answers: number, workers = 1): Promise<number> {
    const clock = createSimulatedClock()
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
  test('an aborted waiter takes no budget', async () => {
    const clock = createSimulatedClock()
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
