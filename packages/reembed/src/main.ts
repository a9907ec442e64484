#!/usr/bin/env node

// The `reembed` command as a process.

import { codeOf } from '@reembed/shared'
import { runCommand } from './command.ts'
import { openTraces } from './traces.ts'

// `reembed … | head -1` closes the pipe early. That ends the output, not the work: a run continues,
// and the exit code is unchanged.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', error => {
    if (codeOf(error) !== 'EPIPE') throw error
  })
}

await using _ = await openTraces(process.env)
process.exitCode = await runCommand(process.argv)
