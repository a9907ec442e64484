// The short form of `npm run simulate`: some histories of the protocol's own code with everything going wrong, and
// the proof that the simulation would notice if a rule of safety were missing.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test, vi } from 'vitest'
import { MUTATIONS } from './simulation/mutations.ts'
import { simulate } from './simulation/simulate.ts'

const MAIN = fileURLToPath(new URL('simulation/main.ts', import.meta.url))
/** CI runs 10,000 of them beside the suite. */
const SEEDS = 200

function run(args: readonly string[]): Promise<{ code: number; stdout: string }> {
  return new Promise(resolve => {
    execFile(
      process.execPath,
      ['--conditions=@reembed/source', MAIN, ...args],
      { encoding: 'utf8' },
      (error, stdout) => resolve({ code: error ? Number(error.code) : 0, stdout }),
    )
  })
}

test('I1 I2 I3 I4 I5 I6 I7 I8 P-REUSE: no history breaks a promise, and each ends with what was planned last', async () => {
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

test('a seed is a history: it takes the same turns again, and asks no clock and no chance but its own', async () => {
  expect(await simulate(7)).toEqual(await simulate(7))
  // Twins make the same bytes in one millisecond, and others in two.
  const clocks = [vi.spyOn(Date, 'now'), vi.spyOn(performance, 'now'), vi.spyOn(Math, 'random')]
  await simulate(7)
  for (const clock of clocks) {
    expect(clock).not.toHaveBeenCalled()
    clock.mockRestore()
  }
})

test.each(MUTATIONS)('the simulation notices within 300 seeds when $name', async ({ name }) => {
  const { code, stdout } = await run(['--seeds', '300', '--threads', '1', '--mutation', name])
  expect(stdout).toMatch(/^seed \d+ broke after/)
  expect(code).toBe(1)
})
