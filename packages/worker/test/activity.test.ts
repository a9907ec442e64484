import type { Endpoint, Outcome } from '@reembed/endpoint'
import { expect, test } from 'vitest'
import { createActivityMeter } from '../src/activity.ts'

const OF = { limiter: { limit: 64, inFlight: 12 }, replicas: undefined }

/** A meter whose clock the test advances. */
function rig() {
  let nowMs = 0
  // The event loop is busy for a fifth of the time.
  const loop = () => ({ active: 0.2 * nowMs, idle: 0.8 * nowMs })
  const meter = createActivityMeter({ now: () => nowMs, loop })
  function pass(ms: number): void {
    nowMs += ms
  }
  return { meter, pass }
}

/** The shares of the waits alone: the rest is the CPU of this process. */
function waits({ meter }: ReturnType<typeof rig>): Record<string, number> {
  const { cpu = 0, ...others } = meter.read(OF).shares ?? {}
  return Object.fromEntries(
    Object.entries(others).map(([stage, share]) => [stage, Number((share / (1 - cpu)).toFixed(2))]),
  )
}

test('a job waits for the endpoint while a window is sent, for the source while it reads, else for the store', () => {
  const made = rig()
  const timer = made.meter.begin()
  made.pass(1_000)
  const reading = timer.enter('source')
  made.pass(2_000)
  const sending = timer.enter('endpoint')
  made.pass(4_000)
  sending[Symbol.dispose]()
  made.pass(1_000)
  reading[Symbol.dispose]()
  reading[Symbol.dispose]()
  made.pass(1_000)
  timer[Symbol.dispose]()
  made.pass(1_000)
  const { shares } = made.meter.read(OF)
  expect(shares?.cpu).toBe(0.2)
  expect(waits(made)).toEqual({ endpoint: 0.44, source: 0.33, store: 0.22, redis: 0 })
})

test('shares are of the last ten seconds, add up to one, and are absent without a job', async () => {
  const made = rig()
  expect(made.meter.read(OF).shares).toBeUndefined()
  const timer = made.meter.begin()
  made.pass(30_000)
  expect(waits(made)).toMatchObject({ store: 1 })
  const work = Promise.withResolvers<void>()
  const during = timer.during('redis', work.promise)
  for (let i = 0; i < 6; i += 1) {
    made.pass(2_000)
    made.meter.read(OF)
  }
  expect(waits(made)).toMatchObject({ redis: 1, store: 0 })
  work.resolve()
  await during
  const shares = Object.values(made.meter.read(OF).shares ?? {})
  expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 2)
  timer[Symbol.dispose]()
  made.pass(20_000)
  made.meter.read(OF)
  made.pass(20_000)
  expect(made.meter.read(OF).shares).toBeUndefined()
})

test('replies give percentiles, queue time, refusals and failures of the last ten seconds', async () => {
  const made = rig()
  const outcomes: Partial<Outcome>[] = [
    ...Array.from({ length: 100 }, (_, i) => ({
      kind: 'ok' as const,
      totalMs: i + 1,
      queueMs: i < 50 ? 10 : null,
    })),
    { kind: 'overload' },
    { kind: 'overload' },
    { kind: 'too_long' },
  ]
  const endpoint = made.meter.instrument({
    request: async () => outcomes.shift() as Outcome,
  } as unknown as Endpoint)
  while (outcomes.length > 0) await endpoint.request([], new Float32Array(0))
  expect(made.meter.read(OF)).toMatchObject({
    limit: 64,
    inFlight: 12,
    requests: { answered: 100, refused: 2, failed: 1, p50Ms: 51, p99Ms: 100, queueMs: 10 },
  })
  made.pass(11_000)
  made.meter.read(OF)
  made.pass(11_000)
  expect(made.meter.read(OF).requests).toEqual({
    answered: 0,
    refused: 0,
    failed: 0,
    p50Ms: null,
    p99Ms: null,
    queueMs: null,
  })
})

test('a fleet of a thousand replicas with long names and reasons makes a heartbeat that readers accept', () => {
  const replicas = Array.from({ length: 1_000 }, (_, i) => ({
    replica: `http://${i}.${'x'.repeat(10_000)}:80`,
    state: 'quarantined' as const,
    reason: 'x'.repeat(10_000),
  }))
  const activity = createActivityMeter().read({ ...OF, replicas })
  expect(JSON.stringify(activity).length).toBeLessThan(32 * 1024)
})
