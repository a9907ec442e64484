// Fleets on a simulated clock: the real limiter, step, coordinator and balancer, against simulated
// replicas. Everything is seeded, so a figure that holds once holds always.

import { describe, expect, test } from 'vitest'
import {
  type FleetOptions,
  type FleetResult,
  jain,
  refusals,
  runFleet,
  utilisation,
} from './parts/simulated-fleet.ts'

const SCENARIOS: Record<string, Omit<FleetOptions, 'workers'>> = {
  'four replicas': { seconds: 40, replicas: () => 4 },
  '1, then 6, then 2 replicas': { seconds: 70, replicas: second => (second < 20 ? 1 : second < 45 ? 6 : 2) },
  'from 0 to 4 replicas': {
    seconds: 60,
    replicas: second => (second < 15 ? 0 : Math.min(4, 1 + Math.floor((second - 15) / 2))),
  },
  'a noisy other client': { seconds: 40, replicas: () => 4, noise: second => (second % 20 < 10 ? 900 : 0) },
  'a fast GPU that refuses before it queues': { seconds: 40, replicas: () => 1, perSecond: () => 5_000 },
  'a CPU': { seconds: 60, replicas: () => 1, perSecond: () => 20 },
}
/** parts/fleet-table.ts shows larger fleets as well; they take minutes. */
const FLEETS = [1, 4, 16]

/** After the last change, once what had to be found was found. */
const steady = ({ seconds }: FleetOptions): [number, number] => [seconds - 15, seconds]

describe.each(Object.entries(SCENARIOS))('%s', (_name, scenario) => {
  test.each(FLEETS)(
    'behind one URL, used to 93 of 100, 2 refused, shared evenly, by workers: %i',
    async workers => {
      expectSteady(await runFleet({ ...scenario, workers }), { ...scenario, workers }, 0.93)
    },
  )

  test.each(FLEETS)('addressed one by one, used to 98 of 100, by workers: %i', async workers => {
    expectSteady(await runFleet({ ...scenario, workers, addressable: true }), { ...scenario, workers }, 0.98)
  })
})

function expectSteady(result: FleetResult, options: FleetOptions, used: number): void {
  const [from, to] = steady(options)
  expect(utilisation(result, from, to)).toBeGreaterThan(used)
  expect(refusals(result, from, to)).toBeLessThan(0.02)
  expect(jain(result.perWorker)).toBeGreaterThan(0.98)
}

test('one replica at a quarter of the speed of the others slows no other request', async () => {
  const options: FleetOptions = {
    workers: 32,
    seconds: 40,
    replicas: () => 4,
    perSecond: replica => (replica === 0 ? 112 : 450),
    addressable: true,
  }
  expectSteady(await runFleet(options), options, 0.98)
})

test('128 workers share four replicas evenly', async () => {
  const options: FleetOptions = { workers: 128, seconds: 30, replicas: () => 4 }
  expectSteady(await runFleet(options), options, 0.93)
})

test.each([1, 4, 16])(
  '90 of 100 of six times the capacity are in use within ten seconds, and stay so, by workers: %i',
  async workers => {
    for (const addressable of [false, true]) {
      const { answered } = await runFleet({
        workers,
        seconds: 40,
        replicas: second => (second < 20 ? 1 : 6),
        addressable,
      })
      const used = answered.map(count => count / (6 * 450))
      expect(Math.max(...used.slice(20, 30))).toBeGreaterThan(0.9)
      expect(used.slice(30).reduce((sum, one) => sum + one, 0) / 10).toBeGreaterThan(addressable ? 0.98 : 0.9)
    }
  },
)

test.each([1, 32])('%i workers probe an unavailable endpoint at most once a second', async workers => {
  const { absent, answered } = await runFleet({
    workers,
    seconds: 40,
    replicas: s => (s < 20 || s > 30 ? 0 : 1),
  })
  expect(Math.max(...absent.slice(0, 20))).toBeLessThanOrEqual(1)
  // The first second after it left is what was on the way.
  expect(Math.max(...absent.slice(32))).toBeLessThanOrEqual(1)
  // Back within the pause between two probes and a window.
  expect(answered.slice(20, 27).some(count => count > 400)).toBe(true)
})

test('the same seed is the same history', async () => {
  const run = () => runFleet({ workers: 4, seconds: 10, replicas: () => 2, seed: 5 })
  expect(await run()).toEqual(await run())
})
