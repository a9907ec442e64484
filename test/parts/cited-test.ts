// Tests that lists of findings cite, so that a list fails when a test is renamed or skipped.

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** A test by its file, and its name, the name of its group, or the row of its table. */
export type CitedTest = readonly [file: string, name: string]

/** Those of the tests that do not exist, or that their source skips, one line each. */
export async function missingTests(cited: readonly CitedTest[]): Promise<string[]> {
  const missing: string[] = []
  for (const [file, name] of cited) {
    const source = await readFile(`${ROOT}${file}`, 'utf8').catch(() => '')
    if (!isTestOf(source, name)) missing.push(`${file} has no test '${name}'`)
  }
  return missing
}

/** Whether the name is a string of the source, which neither `skip` nor `todo` precedes. */
export function isTestOf(source: string, name: string): boolean {
  return [`'${name}'`, `"${name}"`].some(literal => {
    const at = source.indexOf(literal)
    return at >= 0 && !/\.(skip|todo)\($/.test(source.slice(0, at).trimEnd())
  })
}
