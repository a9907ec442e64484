// Workers at a shared coordinator: shares, cold starts, an unavailable coordinator.

import { createLimitCoordinator, type LimitCoordinator } from '@reembed/queue'
import { createSimulatedClock, seeded } from '@reembed/testing'
import { describe, expect, test } from 'vitest'
import { createLimiter, type LimiterOptions } from '../src/limiter.ts'
import type { EndpointProbe } from '../src/probe-loop.ts'

const fleetOf = (count: number, options: Partial<LimiterOptions> = {}) => {
  const clock = createSimulatedClock()
  const coordinator = createLimitCoordinator(clock)
  const random = seeded(3)
  const limiters = Array.from({ length: count }, (_, i) =>
    createLimiter({
      max: 1_000,
      initial: 100,
      coordinator,
      worker: `w${i}`,
      clock,
      random,
      ...options,
    }),
  )
  return { clock, board: coordinator, limiters }
}
const later = <T>(promise: Promise<T>): { value: T | undefined; error: unknown } => {
  const seen: { value: T | undefined; error: unknown } = { value: undefined, error: undefined }
  promise.then(
    value => {
      seen.value = value
    },
    error => {
      seen.error = error
    },
  )
  return seen
}

describe('sharing', () => {
  test('the limit is split among the workers that have something to send, to the last input', async () => {
    const { clock, limiters } = fleetOf(3)
    for (const limiter of limiters) void limiter.acquire(500)
    await clock.runUntil(1_500)
    expect(limiters.reduce((sum, { limit }) => sum + limit, 0)).toBe(100)
    expect(Math.max(...limiters.map(({ limit }) => limit))).toBe(34)
  })

  test('an idle worker leaves its share to the others', async () => {
    const { clock, limiters } = fleetOf(2)
    const [busy, idle] = limiters
    void busy?.acquire(500)
    const permit = later(idle?.acquire(1) ?? Promise.reject())
    await clock.runUntil(1_000)
    expect(busy?.limit).toBe(50)
    permit.value?.ignore()
    await clock.runUntil(3_000)
    expect(busy?.limit).toBe(100)
  })

  test('a worker that vanished is missed after five seconds, one that ends at once', async () => {
    const { clock, limiters } = fleetOf(3)
    for (const limiter of limiters) void limiter.acquire(500).catch(() => {})
    await clock.runUntil(1_000)
    await limiters[2]?.[Symbol.asyncDispose]()
    await clock.runUntil(2_000)
    expect(limiters[0]?.limit).toBe(50)
  })

  test('with fewer inputs than workers each gets permits over time', async () => {
    const { clock, limiters } = fleetOf(10, { initial: 3, max: 3 })
    const turns = limiters.map(() => 0)
    limiters.forEach(async (limiter, i) => {
      for (;;) {
        using permit = await limiter.acquire(8)
        await clock.sleep(100)
        permit.success({ queueMs: 200, inferenceMs: 100, totalMs: 300 })
        turns[i] = (turns[i] ?? 0) + 1
      }
    })
    await clock.runUntil(60_000)
    expect(Math.min(...turns)).toBeGreaterThan(0.5 * Math.max(...turns))
  })
})

describe('an unavailable endpoint', () => {
  const asleepUntil = (clock: { now(): number }, ms: number) => {
    const probes: number[] = []
    const probe: EndpointProbe = async () => {
      probes.push(clock.now())
      return clock.now() < ms ? { reason: 'warming' } : null
    }
    return { probes, probe }
  }

  test('is probed by one worker of the fleet; the others wait and state for how long', async () => {
    const clock = createSimulatedClock()
    const { probes, probe } = asleepUntil(clock, 42_000)
    const coordinator = createLimitCoordinator(clock)
    const fleet = Array.from({ length: 8 }, (_, i) =>
      createLimiter({ max: 100, coordinator, worker: `w${i}`, clock, random: seeded(i), probe }),
    )
    const granted = fleet.map(limiter => later(limiter.acquire(1)))
    await clock.runUntil(41_000)
    expect(granted.every(({ value, error }) => value === undefined && error === undefined)).toBe(true)
    expect(fleet.map(({ state }) => state).filter(state => /^warming, 4[01] s$/.test(state))).toHaveLength(8)
    for (const [i, at] of probes.entries())
      expect(at - (probes[i - 1] ?? -1_000)).toBeGreaterThanOrEqual(1_000)
    await clock.runUntil(50_000)
    expect(granted.every(({ value }) => value !== undefined)).toBe(true)
    expect(fleet[0]?.state).toMatch(/^ok, limit \d+, shared by \d workers$/)
  })

  test('fails a request that waits longer than maxUnavailableMs, with retry requeue', async () => {
    const clock = createSimulatedClock()
    const { probes, probe } = asleepUntil(clock, Number.POSITIVE_INFINITY)
    const limiter = createLimiter({ max: 100, clock, random: seeded(1), probe, maxUnavailableMs: 30_000 })
    const refused = later(limiter.acquire(1))
    await clock.runUntil(32_000)
    expect(refused.error).toMatchObject({
      code: 'ENDPOINT_UNREACHABLE',
      retry: 'requeue',
      retryAfterMs: 5_000,
    })
    const sent = probes.length
    await clock.runUntil(120_000)
    // No worker has demand any more, so the endpoint is not probed.
    expect(probes.length).toBeLessThan(sent + 3)
  })

  test('is probed by another worker within seconds after the prober is lost', async () => {
    const clock = createSimulatedClock()
    const coordinator = createLimitCoordinator(clock)
    const never: EndpointProbe = signal =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal)))
    const first = createLimiter({ max: 100, coordinator, worker: 'a', clock, probe: never })
    void first.acquire(1).catch(() => {})
    await clock.runUntil(100)
    const { probe } = asleepUntil(clock, 0)
    const second = later(createLimiter({ max: 100, coordinator, worker: 'b', clock, probe }).acquire(1))
    await clock.runUntil(1_000)
    expect(second.value).toBeUndefined()
    await first[Symbol.asyncDispose]()
    await clock.runUntil(8_000)
    expect(second.value).toBeDefined()
  })

  test('stops a fleet within a window', async () => {
    const clock = createSimulatedClock()
    const limiter = createLimiter({
      max: 400,
      clock,
      random: seeded(1),
      probe: async () => (clock.now() < 5_000 ? { reason: 'HTTP 503' } : null),
      initial: 400,
    })
    let sent = 0
    const client = async (): Promise<void> => {
      for (;;) {
        using permit = await limiter.acquire(8)
        sent++
        await clock.sleep(5)
        permit.dropped('HTTP 503')
      }
    }
    for (let i = 0; i < 100; i++) void client()
    await clock.runUntil(6_000)
    sent = 0
    await clock.runUntil(20_000)
    // Opened by the probe, and shut again by the few that then went (64 inputs, 8 each), once a
    // second.
    expect(sent).toBeLessThan(15 * 9)
  })
})

test('a worker whose coordinator fails continues within its last share, and rejoins it later', async () => {
  const clock = createSimulatedClock()
  const real = createLimitCoordinator(clock)
  let silent = false
  const coordinator: LimitCoordinator = {
    ...real,
    report: report => (silent ? Promise.reject(new Error('silent')) : real.report(report)),
  }
  const [one, two] = ['one', 'two'].map(worker =>
    createLimiter({ max: 400, initial: 200, coordinator, worker, clock, random: seeded(2) }),
  )
  const client = async (): Promise<void> => {
    for (;;) {
      using permit = await one?.acquire(10)
      await clock.sleep(20)
      permit?.success({ queueMs: 0, inferenceMs: 20, totalMs: 20 })
    }
  }
  void two?.acquire(500)
  for (let i = 0; i < 100; i++) void client()
  await clock.runUntil(2_000)
  const before = one?.limit ?? 0
  expect(before).toBeGreaterThan(50)
  silent = true
  await clock.runUntil(20_000)
  expect(one?.state).toMatch(/Redis does not answer/)
  expect(one?.limit).toBeLessThanOrEqual(before + 1)
  expect(one?.limit).toBeGreaterThan(0.5 * before)
  silent = false
  await clock.runUntil(22_000)
  expect(one?.state).not.toMatch(/Redis does not answer/)
})
