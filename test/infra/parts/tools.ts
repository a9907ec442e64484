// Programs that some checks need and that come with no npm package: used when they are on PATH, and
// where they are not the tests that need them are skipped, with the reason in their name.

import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { testUnless } from '../../parts/needs.ts'

/** Whether a program is on PATH. */
export const onPath = (program: string): boolean =>
  (process.env.PATH ?? '').split(delimiter).some(folder => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return folder !== ''
    } catch {
      return false
    }
  })

/** `test`, or the same skipped with the reason in its name where a program is missing. */
export function testWith(program: string, name: string, run: () => unknown, timeoutMs?: number): void {
  testUnless(onPath(program) ? undefined : `no ${program} on PATH`, name, run, timeoutMs)
}

/** Runs a program to its end. */
export const tool = (
  program: string,
  args: readonly string[],
  options: { readonly input?: string; readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): SpawnSyncReturns<string> =>
  spawnSync(program, args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, ...options })
