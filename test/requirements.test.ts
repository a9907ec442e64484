import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { REQUIREMENTS } from './requirements.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** The ids in front of the colon in names of tests and groups of tests. */
async function citedIds(): Promise<Set<string>> {
  const files = globSync(['test/**/*.test.ts', 'packages/*/test/**/*.test.ts'], {
    cwd: ROOT,
    exclude: path => path.includes('node_modules'),
  })
  const cited = new Set<string>()
  for (const file of files) {
    const source = await readFile(`${ROOT}${file}`, 'utf8')
    for (const [, ids = ''] of source.matchAll(/^\s*\S*?['"`]((?:(?:I\d+|P-[A-Z-]+) ?)+): /gm)) {
      for (const id of ids.split(' ')) cited.add(id)
    }
    for (const [, ids = ''] of source.matchAll(/(?:test|describe)\(\s*['"`]((?:(?:I\d+|P-[A-Z-]+) ?)+): /g)) {
      for (const id of ids.split(' ')) cited.add(id)
    }
  }
  return cited
}

test('every promise is proved by a test, and every id that a test cites is a promise', async () => {
  const cited = await citedIds()
  const promised = REQUIREMENTS.map(({ id }) => id)
  expect(new Set(promised).size).toBe(promised.length)
  expect(promised.filter(id => !cited.has(id))).toEqual([])
  expect([...cited].filter(id => !promised.includes(id))).toEqual([])
})
