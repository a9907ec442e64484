// The short form of `npm run simulate`: some histories of the protocol's own code with every kind
// of fault. simulation-mutations.test.ts proves that the simulation notices a missing safety rule.

import { expect, test, vi } from 'vitest'
import { simulate } from './simulation/simulate.ts'

/** CI runs 10,000 of them beside the suite. */
const SEEDS = 200

test('I1 I2 I3 I4 I5 I6 I7 I8 P-REUSE: no simulated history breaks a promise, and each ends with the last planned run current', async () => {
  const sums: Record<string, number> = {}
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const { broken, counts } = await simulate(seed)
    for (const [name, times] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + times
    expect(broken, `npm run simulate -- --seed ${seed}`).toEqual([])
  }
  // Everything that may go wrong did.
  expect(Object.entries(sums).filter(([, times]) => times === 0)).toEqual([])
  expect(sums.versions).toBeGreaterThanOrEqual(SEEDS)
})

test('a history is deterministic: a seed gives the same turns again and uses no other clock or random source', async () => {
  expect(await simulate(7)).toEqual(await simulate(7))
  // Concurrent writers make the same bytes within one millisecond, and different ones in two.
  const clocks = [vi.spyOn(Date, 'now'), vi.spyOn(performance, 'now'), vi.spyOn(Math, 'random')]
  await simulate(7)
  for (const clock of clocks) {
    expect(clock).not.toHaveBeenCalled()
    clock.mockRestore()
  }
})
