#!/usr/bin/env node

// The `reembed` command: parses, runs, prints the one line that a failure deserves, and exits with its code.

import { EXIT, messageOf, ReembedError } from '@reembed/shared'
import { CommanderError } from 'commander'
import { createProgram } from './program.ts'
import { openTraces } from './traces.ts'

/** Runs the command line and returns the exit code. */
async function main(argv: readonly string[]): Promise<number> {
  await using _ = await openTraces(process.env)
  try {
    await createProgram().parseAsync(argv)
    return typeof process.exitCode === 'number' ? process.exitCode : EXIT.ok
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    const expected = error instanceof ReembedError
    process.stderr.write(`reembed: ${messageOf(error)}\n`)
    if (!expected && error instanceof Error) process.stderr.write(`${error.stack}\n`)
    return expected ? error.exitCode : EXIT.failure
  }
}

process.exitCode = await main(process.argv)
