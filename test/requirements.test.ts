// The list of promises, and the check that counts as proof only what ran. PromiseReporter applies
// it to a run.

import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { idsOf, openPromises } from './promises.ts'
import { REQUIREMENTS } from './requirements.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** The ids that names of tests and of groups of tests carry, read from the sources. */
async function citedIds(): Promise<Set<string>> {
  const files = globSync(['test/**/*.test.ts', 'packages/*/test/**/*.test.ts'], {
    cwd: ROOT,
    exclude: path => path.includes('node_modules'),
  })
  const cited = new Set<string>()
  for (const file of files) {
    const source = await readFile(`${ROOT}${file}`, 'utf8')
    for (const [, name = ''] of source.matchAll(/^\s*\S*?['"`]((?:I\d|P-[A-Z])[^'"`\n]*)/gm)) {
      for (const id of idsOf(name)) cited.add(id)
    }
  }
  return cited
}

test('the ids of the promises are unique, and every id that a test name carries is a promise', async () => {
  const promised = REQUIREMENTS.map(({ id }) => id)
  expect(new Set(promised).size).toBe(promised.length)
  const cited = await citedIds()
  expect(cited.size).toBeGreaterThan(0)
  expect([...cited].filter(id => !promised.includes(id))).toEqual([])
})

test('a test name carries the ids before its colon, and no others', () => {
  expect(idsOf('I1 I2 P-GC: a run is kept')).toEqual(['I1', 'I2', 'P-GC'])
  expect(idsOf('a run is kept: P-GC: twice')).toEqual([])
  expect(idsOf('P-GC a run is kept')).toEqual([])
})

test('a promise is proved by a test that passed, and not by a test that was skipped, failed or never ran', () => {
  const ran = [
    { names: ['I1: passed'], state: 'passed' },
    { names: ['P-GC: skipped'], state: 'skipped' },
    { names: ['P-END: failed'], state: 'failed' },
    { names: ['P-HOLD: skipped here'], state: 'skipped' },
    { names: ['P-HOLD: a group', 'that passed elsewhere'], state: 'passed' },
  ] as const
  expect(openPromises(['I1', 'P-GC', 'P-END', 'P-HOLD', 'P-REUSE'], ran)).toEqual({
    unproved: [
      'P-GC has no test that passed (its tests: skipped)',
      'P-END has no test that passed (its tests: failed)',
      'P-REUSE has no test that passed',
    ],
    unknown: [],
  })
  expect(openPromises([], [{ names: ['P-NEW: passed'], state: 'passed' }]).unknown).toHaveLength(1)
})

/** Runs the suite of promises-fixture/ in a process of its own. */
function runFixture(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ code: number; output: string }> {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST')))
  const vitest = `${ROOT}node_modules/vitest/vitest.mjs`
  return new Promise(resolve => {
    execFile(
      process.execPath,
      [vitest, 'run', '--root', `${ROOT}test/promises-fixture`, ...args],
      { env: { ...clean, ...env }, encoding: 'utf8' },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr }),
    )
  })
}

test('a complete run fails when a promise has only a skipped test', async () => {
  const { code, output } = await runFixture([], { SKIP_FIRST: '1' })
  expect(output).toContain('I1 has no test that passed (its tests: skipped)')
  expect(code).toBe(1)
})

test('a complete run passes when each promise has a passed test', async () => {
  const { code, output } = await runFixture([], {})
  expect(output).toContain(`Promises  ${REQUIREMENTS.length} proved`)
  expect(code).toBe(0)
})

test.each([
  ['a file', ['first']],
  ['a test name', ['--testNamePattern', 'without']],
  ['a project', ['--project', 'scenarios']],
])('a partial run is not checked when it is limited to %s', async (_, args) => {
  const { code, output } = await runFixture(args, { SKIP_FIRST: '1' })
  expect(output).not.toContain('Promises')
  expect(code).toBe(0)
})
