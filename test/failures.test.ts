// The end of the log of .ci/run names what failed.

import { execFile } from 'node:child_process'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { temporaryFolder } from './parts/cli.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

test('a run of the checks ends with its failed steps and tests, their messages and places', async () => {
  await using folder = await temporaryFolder()
  for (const name of ['.ci', 'bin']) await mkdir(join(folder.path, name))
  await copyFile(join(ROOT, '.ci/run'), join(folder.path, '.ci/run'))
  const vitest = `'${process.execPath}' '${ROOT}node_modules/vitest/vitest.mjs' run --root '${ROOT}test/failures-fixture'`
  // Of all steps, the tests and the linter fail.
  const npm = `#!/bin/sh\ncase "$*" in test) exec ${vitest};; *lint) exit 1;; esac\n`
  await writeFile(join(folder.path, 'bin/npm'), npm, { mode: 0o755 })
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST')))
  env.PATH = `${join(folder.path, 'bin')}${delimiter}${env.PATH}`
  const { code, stdout } = await new Promise<{ code: unknown; stdout: string }>(resolve => {
    execFile('bash', [join(folder.path, '.ci/run')], { env, encoding: 'utf8' }, (error, stdout) =>
      resolve({ code: error?.code, stdout }),
    )
  })
  const [, end = ''] = stdout.split(/=== reference: ok \(\d+ s\)\n/)
  expect(end.replace(/\d+ s\)/g, 'n s)').split('\n')).toEqual([
    '=== test: FAILED (n s)',
    expect.stringMatching(/failing\.case\.ts > another figure is right$/),
    '    expected 7 to be 8 // Object.is equality',
    expect.stringMatching(/^ {4}at .*failing\.case\.ts:5$/),
    expect.stringMatching(/failing\.case\.ts > a list is empty$/),
    String.raw`    expected [ 'exit code 5:\nno reply' ] to deeply equal []`,
    ...['- []', '+ [', '+   "exit code 5:', '+ no reply",', '+ ]'].map(line => `    ${line}`),
    expect.stringMatching(/^ {4}at .*failing\.case\.ts:8$/),
    '=== lint: FAILED (n s)',
    '11 passed, 2 failed',
    '',
  ])
  expect(code).toBe(1)
})
