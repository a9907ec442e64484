import { getEventListeners } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import {
  type Bounds,
  createLimiter,
  initialState,
  type LimitState,
  step,
  type Window,
} from '../src/limiter.ts'

const BOUNDS: Bounds = { min: 1, max: 400 }
const quiet: Window = {
  ms: 500,
  replies: 10,
  refusals: 0,
  inputs: 320,
  queueMs: 0,
  inferenceMs: 200,
  peak: 100,
}
const at = (limit: number): LimitState => initialState(limit)
/** Windows whose replies waited `queueMs` each, model time 20 ms: the target is 150 ms. */
const waited = (queueMs: number, peak = 100): Window => ({ ...quiet, queueMs: 10 * queueMs, peak })

describe('step', () => {
  test('without a queue it grows by half, to find new replicas within seconds', () => {
    expect(step(at(100), waited(0), BOUNDS).limit).toBe(150)
    expect(step(at(100), waited(49), BOUNDS).limit).toBe(150)
  })
  test('with half a queue it grows by little, the less the nearer to the target', () => {
    expect(step(at(100), waited(75), BOUNDS).limit).toBe(105)
    expect(step(at(100), waited(149), BOUNDS).limit).toBeCloseTo(100, 0)
  })
  test('with more than the target it shrinks by how much, at most a quarter', () => {
    expect(step(at(100), waited(200), BOUNDS).limit).toBeCloseTo(90)
    expect(step(at(100), waited(100_000), BOUNDS).limit).toBe(75)
  })
  test('the target is five model runs, within 150 ms and 1 s', () => {
    const slow = (queueMs: number): Window => ({ ...waited(queueMs), inferenceMs: 10 * 100 })
    expect(step(at(100), slow(499), BOUNDS).limit).toBeGreaterThanOrEqual(100)
    expect(step(at(100), slow(510), BOUNDS).limit).toBeLessThan(100)
  })
  test('what was not used does not grow', () => {
    expect(step(at(100), waited(0, 79), BOUNDS)).toEqual(at(100))
  })
  test('refusals shrink it by their share, at most to 0.7; up to 3 in 100 are let pass', () => {
    expect(step(at(100), { ...quiet, replies: 90, refusals: 10 }, BOUNDS).limit).toBe(90)
    expect(step(at(100), { ...quiet, replies: 10, refusals: 90 }, BOUNDS).limit).toBe(70)
    expect(step(at(100), { ...quiet, replies: 98, refusals: 2 }, BOUNDS).limit).toBe(150)
  })
  test('nothing but refusals halves it, nothing at all leaves it', () => {
    expect(step(at(100), { ...quiet, replies: 0, refusals: 5 }, BOUNDS).limit).toBe(50)
    expect(step(at(100), { ...quiet, replies: 0, refusals: 0 }, BOUNDS)).toEqual(at(100))
  })
  test('growth that brings no throughput is taken back and not tried again at once', () => {
    let state = at(100)
    const limits: number[] = []
    for (let i = 0; i < 8; i++) {
      state = step(state, { ...waited(0), peak: state.limit }, { min: 1, max: 10_000 })
      limits.push(Math.round(state.limit))
    }
    expect(limits).toEqual([150, 225, 338, 100, 100, 100, 100, 100])
  })
  test('growth that brings throughput goes on', () => {
    let state = at(10)
    for (let i = 0; i < 8; i++) {
      state = step(state, { ...waited(0), peak: state.limit, inputs: state.limit }, BOUNDS)
    }
    expect(state.limit).toBeGreaterThan(200)
  })
  test('from below the size of a request it grows from that size, or no growth would ever show', () => {
    const alone = { ...waited(0), peak: 32 }
    expect(step(at(1), alone, BOUNDS).limit).toBe(48)
  })
  test('whatever a window holds, the limit stays a number within its bounds', () => {
    const random = seeded(7)
    let state = at(50)
    for (let i = 0; i < 50_000; i++) {
      const replies = Math.floor(random() * 20)
      state = step(
        state,
        {
          ms: 500 + random() * 5_000,
          replies,
          refusals: random() < 0.5 ? 0 : Math.floor(random() * 20),
          inputs: replies * 32,
          queueMs: replies * random() ** 4 * 5_000,
          inferenceMs: replies * random() * 500,
          peak: random() * state.limit * 1.2,
        },
        BOUNDS,
      )
      if (!(state.limit >= BOUNDS.min && state.limit <= BOUNDS.max)) throw new Error(`limit ${state.limit}`)
    }
  })
})

describe('createLimiter', () => {
  const sample = { queueMs: 0, inferenceMs: 20, totalMs: 25 }
  /** What `promise` is after a turn of the event loop. */
  const settled = async (promise: Promise<unknown>): Promise<boolean> => {
    let done = false
    promise.then(
      () => (done = true),
      () => (done = true),
    )
    await turn()
    return done
  }

  test('counts inputs, and lets the next in when enough have ended', async () => {
    const limiter = createLimiter({ max: 64, initial: 64 })
    const first = await limiter.acquire(40)
    const second = limiter.acquire(32)
    expect(await settled(second)).toBe(false)
    expect(limiter.inFlight).toBe(40)
    first.success(sample)
    expect(await settled(second)).toBe(true)
    expect(limiter.inFlight).toBe(32)
  })

  test('first come, first served: a small request does not overtake a large one', async () => {
    const limiter = createLimiter({ max: 64, initial: 64 })
    const first = await limiter.acquire(60)
    const large = limiter.acquire(32)
    const small = limiter.acquire(1)
    expect(await settled(small)).toBe(false)
    first.ignore()
    expect(await settled(large)).toBe(true)
    expect(await settled(small)).toBe(true)
  })

  test('a request larger than the limit goes alone instead of waiting for ever', async () => {
    const limiter = createLimiter({ max: 8, initial: 8 })
    const small = await limiter.acquire(1)
    const large = limiter.acquire(32)
    expect(await settled(large)).toBe(false)
    small.ignore()
    expect(await settled(large)).toBe(true)
  })

  test('an abort leaves the queue and lets those behind move up', async () => {
    const limiter = createLimiter({ max: 64, initial: 64 })
    await limiter.acquire(40)
    const stop = new AbortController()
    const large = limiter.acquire(32, stop.signal)
    const small = limiter.acquire(8)
    expect(await settled(small)).toBe(false)
    stop.abort(new Error('stopped'))
    await expect(large).rejects.toThrow('stopped')
    expect(await settled(small)).toBe(true)
    expect(limiter.inFlight).toBe(48)
  })

  test('a permit granted in the moment of the abort is given back', async () => {
    const limiter = createLimiter({ max: 8, initial: 8 })
    const first = await limiter.acquire(8)
    const stop = new AbortController()
    const late = limiter.acquire(8, stop.signal)
    first.ignore()
    stop.abort(new Error('stopped'))
    await expect(late).rejects.toThrow('stopped')
    expect(limiter.inFlight).toBe(0)
  })

  test('only the first ending counts, and leaving the scope without one gives the permit back', async () => {
    const limiter = createLimiter({ max: 8, initial: 8 })
    const permit = await limiter.acquire(3)
    permit.success(sample)
    permit.dropped()
    permit.ignore()
    expect(limiter.inFlight).toBe(0)
    {
      using _ = await limiter.acquire(5)
      expect(limiter.inFlight).toBe(5)
    }
    expect(limiter.inFlight).toBe(0)
  })

  test('a worker’s share of the endpoint’s limit is what it may use', async () => {
    const limiter = createLimiter({ max: 64, initial: 64, share: limit => limit / 4 })
    expect(limiter.limit).toBe(16)
    await limiter.acquire(16)
    expect(await settled(limiter.acquire(1))).toBe(false)
  })

  test('a hundred waiters under one signal raise no warning', async () => {
    const warnings: string[] = []
    const heard = (warning: Error): void => void warnings.push(warning.name)
    process.on('warning', heard)
    const limiter = createLimiter({ max: 1, initial: 1 })
    const { signal } = new AbortController()
    const first = await limiter.acquire(1, signal)
    const rest = Array.from({ length: 100 }, () => limiter.acquire(1, signal))
    first.ignore()
    for (const next of rest) (await next).ignore()
    expect(getEventListeners(signal, 'abort')).toEqual([])
    await turn()
    process.off('warning', heard)
    expect(warnings).toEqual([])
  })
})

describe('against a simulated server', () => {
  test.each([
    { perSecond: 450, permits: 512, what: 'one GPU' },
    { perSecond: 2_000, permits: 512, what: 'a fast GPU' },
    { perSecond: 40, permits: 512, what: 'a CPU' },
    { perSecond: 450, permits: 64, what: 'few permits' },
  ])('$what: busy at least 93 % of the time, at most 2 % refused', async ({ perSecond, permits }) => {
    const { utilisation, refused } = await simulate({ perSecond: () => perSecond, permits, seconds: 120 })
    expect(utilisation).toBeGreaterThan(0.93)
    expect(refused).toBeLessThan(0.02)
  })

  test('ten times the capacity is in use within ten seconds', async () => {
    const seconds = 70
    const { answeredPerSecond } = await simulate({
      perSecond: second => (second < 60 ? 200 : 2_000),
      permits: 512,
      seconds,
    })
    expect(answeredPerSecond[seconds - 1]).toBeGreaterThan(0.9 * 2_000)
  })

  test('after an outage it is back at work within five seconds', async () => {
    const { answeredPerSecond } = await simulate({
      perSecond: () => 450,
      permits: 512,
      seconds: 60,
      isDown: second => second >= 20 && second < 40,
    })
    expect(answeredPerSecond[30]).toBe(0)
    expect(answeredPerSecond[45]).toBeGreaterThan(0.9 * 450)
  })
})

/** One worker with endless work against a first-come-first-served server, on a clock of its own. */
async function simulate(server: {
  perSecond: (second: number) => number
  permits: number
  seconds: number
  isDown?: (second: number) => boolean
}) {
  const INPUTS = 32
  const RTT_MS = 4
  const BACKOFF_MS = 500
  let now = 0
  const limiter = createLimiter({ max: 0.8 * server.permits, initial: 64, now: () => now })
  const events: { at: number; run: () => void }[] = []
  const later = (ms: number, run: () => void): void => {
    const at = now + ms
    const place = events.findIndex(event => event.at > at)
    events.splice(place < 0 ? events.length : place, 0, { at, run })
  }
  const answeredPerSecond: number[] = Array(server.seconds).fill(0)
  let held = 0
  let freeAt = 0
  let busyMs = 0
  let sent = 0
  let refused = 0

  async function client(): Promise<void> {
    while (now < server.seconds * 1000) {
      const permit = await limiter.acquire(INPUTS)
      sent++
      if (held + INPUTS > server.permits || server.isDown?.(now / 1000)) {
        refused++
        await new Promise<void>(resolve => later(RTT_MS, resolve))
        permit.dropped()
        await new Promise<void>(resolve => later(BACKOFF_MS, resolve))
        continue
      }
      held += INPUTS
      const startsAt = Math.max(now + RTT_MS / 2, freeAt)
      const inferenceMs = (INPUTS / server.perSecond(now / 1000)) * 1000
      const queueMs = startsAt - now - RTT_MS / 2
      freeAt = startsAt + inferenceMs
      busyMs += inferenceMs
      await new Promise<void>(resolve => later(freeAt + RTT_MS / 2 - now, resolve))
      held -= INPUTS
      const second = Math.floor(now / 1000)
      if (second < server.seconds) answeredPerSecond[second] = (answeredPerSecond[second] ?? 0) + INPUTS
      permit.success({ queueMs, inferenceMs, totalMs: queueMs + inferenceMs + RTT_MS })
    }
  }

  const clients = Array.from({ length: 40 }, client)
  await turn()
  for (let event = events.shift(); event && event.at < server.seconds * 1000; event = events.shift()) {
    now = event.at
    event.run()
    // Only microtasks follow from an event.
    for (let i = 0; i < 10; i++) await undefined
  }
  void clients
  return { utilisation: busyMs / (server.seconds * 1000), refused: refused / sent, answeredPerSecond }
}

/** mulberry32 */
function seeded(seed: number): () => number {
  let a = seed
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
