#!/usr/bin/env node

// The `reembed` command as a process.

import { runCommand } from './command.ts'

process.exitCode = await runCommand(process.argv)
