import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { longestFirst, SECONDS } from './longest-first.ts'

const ROOT = join(import.meta.dirname, '..')

test('the longest test files start first, and the others keep their order', () => {
  const names = ['test/a.test.ts', 'test/carry.test.ts', 'test/b.test.ts', 'test/install.test.ts']
  const files = names.map(name => ({ moduleId: join(ROOT, name) }))
  expect(longestFirst(files)).toEqual([files[3], files[1], files[0], files[2]])
})

test('every file with a recorded duration exists', () => {
  expect(Object.keys(SECONDS).filter(name => !existsSync(join(ROOT, name)))).toEqual([])
})
