// Proof that the simulation notices a missing safety rule: each rule is removed from the product's
// own source as it is loaded, and a history must then break a promise.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { MUTATIONS } from './simulation/mutations.ts'

const MAIN = fileURLToPath(new URL('simulation/main.ts', import.meta.url))

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

test.each(MUTATIONS)(
  'the simulation breaks a promise within 300 seeds when $name',
  async ({ name, from = 1 }) => {
    const seeds = ['--from', `${from}`, '--seeds', '300']
    const { code, stdout } = await run([...seeds, '--threads', '1', '--mutation', name])
    expect(stdout).toMatch(/^seed \d+ broke after/)
    expect(code).toBe(1)
  },
)
