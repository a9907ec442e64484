#!/usr/bin/env node

// The `reembed` command as a process.

import { runCommand } from './command.ts'
import { openTraces } from './traces.ts'

await using _ = await openTraces(process.env)
process.exitCode = await runCommand(process.argv)
