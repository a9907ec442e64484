// The check of the floors: scripts/boundaries.mjs on small trees with one fault each.

import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { temporaryFolder } from './parts/cli.ts'

const SCRIPT = fileURLToPath(new URL('../scripts/boundaries.mjs', import.meta.url))

/** Runs the check on a tree of these files. */
async function check(files: Readonly<Record<string, string>>): Promise<{ code: number; stderr: string }> {
  await using folder = await temporaryFolder()
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder.path, path)), { recursive: true })
    await writeFile(join(folder.path, path), text)
  }
  const run = promisify(execFile)(process.execPath, [SCRIPT, '--quiet', '--root', folder.path])
  return await run.then(
    ({ stderr }) => ({ code: 0, stderr }),
    ({ code, stderr }) => ({ code, stderr }),
  )
}

const STORE = JSON.stringify({ dependencies: { '@reembed/shared': '', '@reembed/queue': '' } })
const TREE = {
  'packages/shared/package.json': '{}',
  'packages/shared/src/a.ts': 'export const a = 1\n',
  'packages/store/package.json': STORE,
  'packages/store/src/b.ts': "import { a } from '@reembed/shared'\n\nexport const b = a\n",
  'packages/queue/package.json': '{}',
  'packages/queue/src/c.ts': 'export const c = 1\n',
}

test('the check of the floors accepts a tree whose imports point down', async () => {
  expect(await check(TREE)).toEqual({ code: 0, stderr: 'boundaries: ok\n' })
})

test.each<[string, Record<string, string>, RegExp]>([
  [
    'an import of a higher floor',
    { 'packages/store/src/b.ts': "import { c } from '@reembed/queue'\n" },
    /store\/src\/b\.ts:1: store \(floor 2\) must not import queue \(floor 3\): imports point down/,
  ],
  [
    'a type-only import of a higher floor',
    { 'packages/store/src/b.ts': "import type { c } from '@reembed/queue'\n" },
    /must not import queue/,
  ],
  [
    'a dynamic import of a higher floor',
    { 'packages/store/src/b.ts': "export const c = import('@reembed/queue')\n" },
    /must not import queue/,
  ],
  [
    'an import that package.json does not list',
    { 'packages/queue/src/c.ts': "import { a } from '@reembed/shared'\n" },
    /imports @reembed\/shared, which packages\/queue\/package\.json does not list/,
  ],
  [
    'a file of another package',
    { 'packages/store/src/b.ts': "import { a } from '../../shared/src/a.ts'\n" },
    /a file of another package/,
  ],
  [
    'a cycle of type-only imports',
    {
      'packages/store/src/b.ts': "import type { D } from './d.ts'\n\nexport type B = D\n",
      'packages/store/src/d.ts': "import type { B } from './b.ts'\n\nexport type D = B\n",
    },
    /import cycle: packages\/store\/src\/[bd]\.ts -> packages\/store\/src\/[bd]\.ts/,
  ],
  [
    'a package of more than 5,500 lines',
    { 'packages/store/src/b.ts': '\n'.repeat(5_501) },
    /packages\/store: 5501 lines, at most 5500/,
  ],
  [
    'a package without a floor',
    { 'packages/other/package.json': '{}', 'packages/other/src/e.ts': '' },
    /packages\/other: is in no floor/,
  ],
])('the check of the floors refuses %s', async (_fault, files, message) => {
  const { code, stderr } = await check({ ...TREE, ...files })
  expect(stderr).toMatch(message)
  expect(code).toBe(1)
})
