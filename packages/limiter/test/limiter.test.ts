import { getEventListeners } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { createLimitCoordinator } from '@reembed/queue'
import { createSimulatedClock, seeded } from '@reembed/testing'
import { describe, expect, test } from 'vitest'
import { createLimiter } from '../src/limiter.ts'
import { type Bounds, initialState, type LimitState, parseState, step, type Window } from '../src/step.ts'

const BOUNDS: Bounds = { min: 1, max: 400, start: 64 }
const quiet: Window = {
  ms: 500,
  replies: 10,
  refusals: 0,
  unavailable: 0,
  inputs: 320,
  queueMs: 0,
  inferenceMs: 200,
  peakInFlight: 100,
}
const at = (limit: number): LimitState => initialState(limit)
const limitOf = ({ limit }: LimitState): number => limit ?? Number.NaN
/** Windows whose replies waited `queueMs` each, model time 20 ms: the target is 250 ms. */
const waited = (queueMs: number, peakInFlight = 100): Window => ({
  ...quiet,
  queueMs: 10 * queueMs,
  peakInFlight,
})

describe('step', () => {
  test('without a queue it grows by half, to find new replicas within seconds', () => {
    expect(step(at(100), waited(0), BOUNDS).limit).toBe(150)
    expect(step(at(100), waited(83), BOUNDS).limit).toBe(150)
  })
  test('with half a queue it grows by little, the less the nearer to the target', () => {
    expect(step(at(100), waited(125), BOUNDS).limit).toBe(105)
    expect(step(at(100), waited(249), BOUNDS).limit).toBeCloseTo(100, 0)
  })
  test('with more than the target it shrinks by how much, at most a quarter', () => {
    expect(step(at(100), { ...waited(333.33), inputs: 50 }, BOUNDS).limit).toBeCloseTo(90)
    expect(step(at(100), { ...waited(100_000), inputs: 50 }, BOUNDS).limit).toBe(75)
  })
  test('an old queue does not shrink it below what keeps the server busy: the target and the model time at its rate', () => {
    let state = at(300)
    // Two replicas of six are left, 300 inputs a second in all; replies still come from the queue
    // of before.
    const late = { ...waited(900), inputs: 150 }
    for (let i = 0; i < 9; i++) state = step(state, late, BOUNDS)
    expect(state.limit).toBeCloseTo(0.3 * 270)
    expect(step(state, late, { ...BOUNDS, max: 50 }).limit).toBe(50)
    expect(step(at(60), late, BOUNDS).limit).toBe(60)
  })
  test('the target is five model runs, within 250 ms and 1 s', () => {
    const slow = (queueMs: number): Window => ({ ...waited(queueMs), inferenceMs: 10 * 100, inputs: 50 })
    expect(step(at(100), slow(499), BOUNDS).limit).toBeGreaterThanOrEqual(100)
    expect(step(at(100), slow(510), BOUNDS).limit).toBeLessThan(100)
    expect(step(at(100), { ...slow(999), inferenceMs: 10 * 5_000 }, BOUNDS).limit).toBeGreaterThanOrEqual(100)
    expect(step(at(100), { ...slow(1_010), inferenceMs: 10 * 5_000, inputs: 8 }, BOUNDS).limit).toBeLessThan(
      100,
    )
  })
  test('what was not used does not grow', () => {
    expect(step(at(100), waited(0, 79), BOUNDS)).toEqual(at(100))
  })
  test('refusals shrink it by twice their share, at most to 0.7; 1 in 100 is let pass', () => {
    expect(step(at(100), { ...quiet, replies: 90, refusals: 10 }, BOUNDS).limit).toBe(80)
    expect(step(at(100), { ...quiet, replies: 10, refusals: 90 }, BOUNDS).limit).toBe(70)
    expect(step(at(100), { ...quiet, replies: 99, refusals: 1 }, BOUNDS).limit).toBe(150)
  })
  test('after refusals it holds still, then passes the place where they began in small steps', () => {
    let state = step(at(200), { ...quiet, replies: 80, refusals: 20, peakInFlight: 200 }, BOUNDS)
    const limits = [state.limit]
    for (let i = 0; i < 25; i++) {
      state = step(state, { ...waited(0), peakInFlight: limitOf(state), inputs: 320 + 40 * i }, BOUNDS)
      limits.push(state.limit)
    }
    expect(limits.slice(0, 20)).toEqual(Array(20).fill(140))
    expect(limits[20]).toBeCloseTo(154)
    expect(limits[21]).toBeCloseTo(169.4)
  })
  test('a fall of the time per input, as after added replicas, ends the hold', () => {
    const refused = step(
      at(200),
      { ...quiet, replies: 80, refusals: 20, queueMs: 8_000, peakInFlight: 200 },
      BOUNDS,
    )
    const same = step(refused, { ...waited(70), peakInFlight: 140 }, BOUNDS)
    expect(same.limit).toBe(140)
    expect(step(same, { ...waited(20), peakInFlight: 140 }, BOUNDS).limit).toBeGreaterThan(150)
  })
  test('nothing but refusals halves it, nothing at all leaves it', () => {
    expect(step(at(100), { ...quiet, replies: 0, refusals: 5 }, BOUNDS).limit).toBe(50)
    expect(step(at(100), { ...quiet, replies: 0, refusals: 0 }, BOUNDS)).toEqual(at(100))
  })
  test('the endpoint is unavailable when no request is answered and some reached none, until the first reply', () => {
    const away = step(at(300), { ...quiet, replies: 0, unavailable: 3 }, BOUNDS)
    expect(away).toEqual({ ...at(64), isUnavailable: true })
    expect(step(away, { ...quiet, replies: 0, unavailable: 9 }, BOUNDS)).toEqual(away)
    expect(step(away, { ...quiet, replies: 1, unavailable: 0, peakInFlight: 1 }, BOUNDS)).toEqual(at(64))
  })
  test('a proxy’s stray 503 among replies does not make it away', () => {
    expect(step(at(100), { ...quiet, replies: 90, unavailable: 10 }, BOUNDS)).toMatchObject({
      limit: 80,
      isUnavailable: false,
    })
  })
  test('growth that brings no throughput is taken back in part and not tried again at once', () => {
    let state = at(100)
    const limits: number[] = []
    for (let i = 0; i < 8; i++) {
      state = step(state, { ...waited(20), peakInFlight: limitOf(state) }, { ...BOUNDS, max: 10_000 })
      limits.push(Math.round(limitOf(state)))
    }
    expect(limits).toEqual([150, 225, 338, 184, 184, 184, 184, 184])
  })
  test('growth without gain is kept while no input queues: the workers are the bottleneck', () => {
    let state = at(100)
    const limits: number[] = []
    for (let i = 0; i < 8; i++) {
      state = step(state, { ...waited(19), peakInFlight: limitOf(state) }, { ...BOUNDS, max: 10_000 })
      limits.push(Math.round(limitOf(state)))
    }
    expect(limits).toEqual([150, 225, 338, 338, 338, 338, 338, 338])
  })
  test('begins where the worker that steps says, and not before texts were answered', () => {
    const unknown = initialState(null, true)
    const found = step(unknown, { ...quiet, replies: 1, inputs: 0 }, { ...BOUNDS, start: 7 })
    expect(found).toEqual(initialState(null))
    expect(step(found, waited(0, 256), { ...BOUNDS, start: 256 }).limit).toBe(384)
    expect(step(unknown, { ...quiet, replies: 0, unavailable: 9 }, BOUNDS)).toEqual(unknown)
  })
  test('growth that raises the throughput continues', () => {
    let state = at(10)
    for (let i = 0; i < 8; i++) {
      state = step(state, { ...waited(0), peakInFlight: limitOf(state), inputs: limitOf(state) }, BOUNDS)
    }
    expect(state.limit).toBeGreaterThan(200)
  })
  test('from below the size of a request it grows from that size, or no growth would ever show', () => {
    const alone = { ...waited(0), peakInFlight: 32 }
    expect(step(at(1), alone, BOUNDS).limit).toBe(48)
  })
  test('whatever a window holds, the limit stays a number within its bounds, and survives being kept as JSON', () => {
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
          unavailable: random() < 0.8 ? 0 : Math.floor(random() * 20),
          inputs: replies * 32,
          queueMs: replies * random() ** 4 * 5_000,
          inferenceMs: replies * random() * 500,
          peakInFlight: random() * limitOf(state) * 1.2,
        },
        BOUNDS,
      )
      const limit = limitOf(state)
      if (!(limit >= BOUNDS.min && limit <= BOUNDS.max)) throw new Error(`limit ${limit}`)
      if (i % 100 === 0) expect(parseState(JSON.parse(JSON.stringify(state)))).toEqual(state)
    }
  })
  test.each([
    null,
    'x',
    {},
    { ...initialState(64), limit: '64' },
    { ...initialState(64), limit: -1 },
    { ...initialState(64), hold: { windows: 'x', msPerInput: 1 } },
    { ...initialState(64), growth: 7 },
  ])('what is no state is not taken for one: %j', given => {
    expect(parseState(given)).toBeUndefined()
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
    const first = await limiter.acquire(60)
    const second = limiter.acquire(32)
    expect(await settled(second)).toBe(false)
    expect(limiter.inFlight).toBe(60)
    first.success(sample)
    expect(await settled(second)).toBe(true)
    expect(limiter.inFlight).toBe((await second).inputs)
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

  test('a request larger than the free part of a small share is split, so that the share is fully used', async () => {
    const limiter = createLimiter({ max: 20, initial: 20 })
    await limiter.acquire(10)
    expect((await limiter.acquire(32)).inputs).toBe(10)
    expect(limiter.inFlight).toBe(20)
  })

  test('where many requests fit, none is cut', async () => {
    const limiter = createLimiter({ max: 300, initial: 300 })
    for (let i = 0; i < 9; i++) expect((await limiter.acquire(32)).inputs).toBe(32)
    expect(await settled(limiter.acquire(32))).toBe(false)
  })

  test('begins with what is known of the endpoint by then', async () => {
    let initial = 10
    await using limiter = createLimiter({ max: 1_000, initial: () => initial })
    await limiter.acquire(10)
    const next = limiter.acquire(32)
    expect(await settled(next)).toBe(false)
    initial = 256
    ;(await limiter.acquire(1)).ignore()
    expect((await next).inputs).toBe(32)
  })

  test('what was refused is not replaced by others at once', async () => {
    const limiter = createLimiter({ max: 32, initial: 32 })
    const first = await limiter.acquire(32)
    const next = limiter.acquire(32)
    first.dropped()
    expect(await settled(next)).toBe(false)
    expect(limiter.inFlight).toBe(0)
    // The next window sends again.
    expect((await next).inputs).toBeGreaterThan(0)
  })

  test('an abort leaves the queue and lets those behind move up', async () => {
    const limiter = createLimiter({ max: 64, initial: 64 })
    await limiter.acquire(58)
    const stop = new AbortController()
    const large = limiter.acquire(32, stop.signal)
    const small = limiter.acquire(4)
    expect(await settled(small)).toBe(false)
    stop.abort(new Error('stopped'))
    await expect(large).rejects.toThrow('stopped')
    expect(await settled(small)).toBe(true)
    expect(limiter.inFlight).toBe(62)
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

  test('P-TURN: a request is served also at the moment in which its worker leaves the coordinator', async () => {
    /**
     * Whether a request is served that comes this long after the worker's last one, while no share
     * is known.
     */
    async function isServed(idleMs: number): Promise<boolean> {
      const clock = createSimulatedClock()
      const coordinator = createLimitCoordinator(clock)
      const open = (worker: string) =>
        createLimiter({ coordinator, worker, clock, max: 1, initial: 1, random: seeded(1) })
      // One input for all: none for the one in the middle while two others want it.
      const [me, ...others] = [open('b'), open('a'), open('c')]
      const first = me.acquire(1)
      await clock.runUntil(1_000)
      for (const one of others) one.acquire(1).catch(() => {})
      await clock.runUntil(2_000)
      ;(await first).ignore()
      await clock.runUntil(2_000 + idleMs)
      const next = me.acquire(1)
      await clock.runUntil(8_000)
      const closed = others.map(one => one[Symbol.asyncDispose]())
      await clock.runUntil(60_000)
      await Promise.all(closed)
      return await settled(next)
    }
    const late: number[] = []
    for (let idleMs = 0; idleMs < 4_000; idleMs += 100) if (!(await isServed(idleMs))) late.push(idleMs)
    expect(late).toEqual([])
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
