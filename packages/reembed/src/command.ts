// A command line from beginning to end: parses, runs, prints the one line that a failure deserves, gives its exit code.

import { EXIT, messageOf, ReembedError } from '@reembed/shared'
import { CommanderError } from 'commander'
import { createProgram } from './program.ts'

/** @param argv as in process.argv: the words of the command begin at its third member */
export async function runCommand(argv: readonly string[]): Promise<number> {
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
