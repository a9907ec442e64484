import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { longestFirst, SECONDS } from './longest-first.ts'

const ROOT = join(import.meta.dirname, '..')

test('the longest test files start first, and the others keep their order', () => {
  const names = ['test/a.test.ts', 'test/carry.test.ts', 'test/b.test.ts', 'test/install.test.ts']
  const files = names.map(name => ({ moduleId: join(ROOT, name) }))
  expect(longestFirst(files)).toEqual([files[3], files[1], files[0], files[2]])
})

test('the durations are found in a checkout whose path has a blank and an umlaut', async () => {
  const place = await mkdtemp(join(tmpdir(), 'reembed-longest-'))
  onTestFinished(() => rm(place, { recursive: true }))
  const folder = join(place, 'mein Verzeichnis für alles', 'test')
  await mkdir(folder, { recursive: true })
  await symlink(join(ROOT, 'node_modules'), join(place, 'node_modules'))
  await copyFile(join(import.meta.dirname, 'longest-first.ts'), join(folder, 'longest-first.ts'))
  const there: { longestFirst: typeof longestFirst } = await import(join(folder, 'longest-first.ts'))
  const files = ['a.test.ts', 'install.test.ts'].map(name => ({ moduleId: join(folder, name) }))
  expect(there.longestFirst(files)).toEqual([files[1], files[0]])
})

test('every file with a recorded duration exists', () => {
  expect(Object.keys(SECONDS).filter(name => !existsSync(join(ROOT, name)))).toEqual([])
})
