// Runs a command line: parses, executes, prints a failure as one line, returns the exit code.

import { EXIT, printable, printableLines, proxyEnv, ReembedError } from '@reembed/shared'
import { CommanderError } from 'commander'
import { explain } from './explain.ts'
import { createProgram } from './program.ts'
import { steps } from './step-line.ts'

/** @param argv as process.argv: the arguments begin at its third member */
export async function runCommand(argv: readonly string[]): Promise<number> {
  try {
    // For fetch and Node's agents. The endpoint and S3 clients have agents of their own.
    const proxies = proxyEnv()
    if (proxies !== undefined) (await import('node:http')).setGlobalProxyFromEnv({ ...proxies })
    await createProgram().parseAsync(argv)
    return typeof process.exitCode === 'number' ? process.exitCode : EXIT.ok
  } catch (error) {
    steps.end()
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    const expected = error instanceof ReembedError
    const { paintFirst } = await import('@reembed/render')
    process.stderr.write(`${paintFirst('reembed', process.stderr)}: ${printable(explain(error))}\n`)
    if (!expected && error instanceof Error) process.stderr.write(`${printableLines(error.stack ?? '')}\n`)
    return expected ? error.exitCode : EXIT.failure
  } finally {
    steps.end()
  }
}
