// What some checks need and no npm package brings. Where it is missing, their tests keep their
// place in the report, with the reason in their names.

import { execFileSync } from 'node:child_process'
import { test } from 'vitest'

/** The Python that the readers of other projects run in. */
export const PYTHON: string = process.env.REEMBED_TEST_PYTHON ?? 'python3'

/** Whether a command ends with exit code 0. */
export function answers(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** What Python lacks of these modules, in words; undefined if nothing. */
export const lackOfModules = (...modules: readonly string[]): string | undefined =>
  answers(PYTHON, ['-c', modules.map(module => `import ${module}`).join('\n')])
    ? undefined
    : `${PYTHON} lacks ${modules.join(' or ')}; set REEMBED_TEST_PYTHON to one that has them`

/** `test`, skipped where something is lacking, with what it is in its name. */
export function testUnless(
  lack: string | undefined,
  name: string,
  run: () => unknown,
  timeoutMs?: number,
): void {
  const shown = lack === undefined ? name : `${name} (not run: ${lack})`
  test.skipIf(lack !== undefined)(shown, run as () => void, timeoutMs)
}
