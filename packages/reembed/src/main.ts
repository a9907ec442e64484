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

/** Milliseconds that an open connection may delay the exit. */
const LINGER_MS = 500

{
  await using _ = await openTraces(process.env)
  process.exitCode = await runCommand(process.argv)
}
// A request to a server that never answers must not keep the process.
setTimeout(() => process.exit(), LINGER_MS).unref()
