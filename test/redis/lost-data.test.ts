// What a loss of Redis costs while a run and two more workers make its shards, as `npm run
// paid-again` counts it: real processes, and a server that counts each text.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const run = promisify(execFile)

test.each(['redis-restart', 'fleet-restart', 'fleet-flush'])(
  'I8: %s at 90 %% of a run pays for less than 2 %% of its texts again',
  async scenario => {
    const program = join(import.meta.dirname, '..', 'paid-again.ts')
    const options = ['--scenario', scenario, '--documents', '6000', '--at', '90']
    const { stdout } = await run(process.execPath, ['--conditions=@reembed/source', program, ...options])
    const [, share] = /\| 90 % \| [\d,]+ \| ([\d.]+) % \|/.exec(stdout) ?? []
    expect(Number(share), stdout).toBeLessThan(2)
  },
)
