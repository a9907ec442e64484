// The short form of `npm run simulate`: some histories of the protocol's own code with everything going wrong, and
// the proof that the simulation would notice if a rule of safety were missing.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { MUTATIONS } from './simulation/mutations.ts'
import { simulate } from './simulation/simulate.ts'

const MAIN = fileURLToPath(new URL('simulation/main.ts', import.meta.url))
const SEEDS = 10_000_000

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
  const deadline = performance.now() + 30_000
  let seed = 1
  let reused = 0
  for (; seed <= SEEDS && (seed <= 20 || performance.now() < deadline); seed += 1) {
    const { broken, counts } = await simulate(seed)
    reused += counts.reused
    expect(broken, `npm run simulate -- --seed ${seed}`).toEqual([])
  }
  expect(seed).toBeGreaterThan(20)
  expect(reused).toBeGreaterThan(0)
})

test('a seed is a history: it takes the same turns again', async () => {
  expect(await simulate(7)).toEqual(await simulate(7))
})

test.each(MUTATIONS.filter(({ quick }) => quick))(
  'the simulation notices within 300 seeds when $name',
  async ({ name }) => {
    const { code, stdout } = await run(['--seeds', '300', '--mutation', name])
    expect(stdout).toMatch(/^seed \d+ broke after/)
    expect(code).toBe(1)
  },
)
