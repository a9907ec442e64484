import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { openDeleter } from '../src/delete.ts'
import { openStore } from '../src/open.ts'
import { keysOf, storeConformance } from './store-conformance.ts'

let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'reembed-store-'))
})
afterAll(() => rm(scratch, { recursive: true }))

/** A new folder opened as a store. */
async function openFresh() {
  const root = await mkdtemp(join(scratch, 'root-'))
  return { root, store: await openStore(root) }
}

storeConformance({
  name: 'a folder',
  open: async () => (await openFresh()).store,
  opaqueKeys: false,
})

test('openStore names a missing folder, or creates it on request', async () => {
  const path = join(scratch, 'new', 'folder')
  await expect(openStore(path)).rejects.toMatchObject({
    code: 'SOURCE_NOT_FOUND',
    message: expect.stringContaining(path),
  })
  const store = await openStore(path, { create: true })
  expect(store.url).toBe(path)
  await store.putIfAbsent('a', Buffer.from('x'))
  expect(await keysOf(await openStore(pathToFileURL(path).href), '')).toEqual(['a'])
  await expect(openStore(join(path, 'a'))).rejects.toMatchObject({ code: 'USAGE' })
})

test('openStore refuses an unknown scheme and suggests a known one', async () => {
  for (const url of ['s3a://bucket/x', 'S3://bucket/x', 's3:/bucket/x']) {
    await expect(openStore(url)).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining("'s3://'"),
    })
  }
  for (const url of ['gs://bucket/x', 'https://example.org/x', 'file://host/x', '']) {
    await expect(openStore(url)).rejects.toMatchObject({ code: 'USAGE' })
  }
})

test('temporary files of a crash are never listed, and removed once they are old', async () => {
  const { root, store } = await openFresh()
  await writeFile(join(root, '.reembed-old.tmp'), 'half')
  await utimes(join(root, '.reembed-old.tmp'), 0, 0)
  await writeFile(join(root, '.reembed-young.tmp'), 'half')
  expect(await keysOf(store, '')).toEqual([])
  await store.putIfAbsent('runs/a', Buffer.from('x'))
  expect(await keysOf(store, '')).toEqual(['runs/a'])
  expect((await readdir(root)).sort()).toEqual(['.reembed-young.tmp', 'runs'])
})

test('installed packages are not listed, and their links out of the folder refuse nothing', async () => {
  const { root, store } = await openFresh()
  await mkdir(join(root, 'docs', 'node_modules'), { recursive: true })
  await symlink(scratch, join(root, 'docs', 'node_modules', 'linked'))
  await writeFile(join(root, 'docs', 'a.md'), '')
  expect(await keysOf(store, '')).toEqual(['docs/a.md'])
})

test('names that start with a dot are neither listed nor read', async () => {
  const { root, store } = await openFresh()
  await mkdir(join(root, '.git'))
  await writeFile(join(root, '.git', 'config'), '')
  await writeFile(join(root, '.DS_Store'), '')
  await writeFile(join(root, 'a.txt'), '')
  expect(await keysOf(store, '')).toEqual(['a.txt'])
})

test('a symbolic link inside the folder is followed; a link out of it or a cycle is refused by name', async () => {
  const { root, store } = await openFresh()
  await writeFile(join(scratch, 'secret'), 'secret')
  await mkdir(join(root, 'real'))
  await writeFile(join(root, 'real', 'file'), 'inside')
  await symlink('real', join(root, 'link'))
  await symlink('nowhere', join(root, 'dangling'))
  expect(await keysOf(store, '')).toEqual(['link/file', 'real/file'])
  expect(Buffer.from(await store.get('link/file')).toString()).toBe('inside')

  await symlink(join(scratch, 'secret'), join(root, 'out'))
  await symlink(scratch, join(root, 'up'))
  const refused = { code: 'USAGE', message: expect.stringContaining(join(root, 'out')) }
  await expect(store.get('out')).rejects.toMatchObject(refused)
  await expect(store.head('out')).rejects.toMatchObject(refused)
  await expect(store.get('up/secret')).rejects.toMatchObject({ code: 'USAGE' })
  await expect(store.putIfAbsent('up/planted/file', Buffer.from('x'))).rejects.toMatchObject({
    code: 'USAGE',
  })
  await expect(keysOf(store, '')).rejects.toMatchObject({ code: 'USAGE' })
  expect(await readdir(scratch)).not.toContain('planted')

  const round = await openFresh()
  await mkdir(join(round.root, 'a'))
  await symlink('..', join(round.root, 'a', 'up'))
  await expect(keysOf(round.store, '')).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('a/up'),
  })
})

test('the etag changes when a file is edited or replaced, also with equal size and time', async () => {
  const { root, store } = await openFresh()
  const path = join(root, 'doc')
  await writeFile(path, 'one')
  // In whole seconds, as archives and images store it.
  await utimes(path, 1_000_000_000, 1_000_000_000)
  const etag = (await store.head('doc'))?.etag
  await writeFile(`${path}.new`, 'two')
  await utimes(`${path}.new`, 1_000_000_000, 1_000_000_000)
  await rename(`${path}.new`, path)
  await expect(store.get('doc', { ifMatch: etag })).rejects.toMatchObject({
    code: 'SOURCE_CHANGED',
    message: expect.stringContaining(path),
  })
})

test('a read fails with SOURCE_CHANGED when the file changes during the read', async () => {
  const { root, store } = await openFresh()
  await writeFile(join(root, 'doc'), Buffer.alloc(1_000_000))
  const ifMatch = (await store.head('doc'))?.etag
  const read = async () => {
    for await (const _ of store.stream('doc', { ifMatch })) await writeFile(join(root, 'doc'), 'cut')
  }
  await expect(read()).rejects.toMatchObject({ code: 'SOURCE_CHANGED' })
})

test('a put fails with USAGE when a file and a folder would have the same name', async () => {
  const { store } = await openFresh()
  await store.putIfAbsent('a', Buffer.from('x'))
  await store.putIfAbsent('b/c', Buffer.from('x'))
  const refused = {
    code: 'USAGE',
    message: expect.stringContaining('a file and a folder cannot have the same name'),
  }
  await expect(store.putIfAbsent('a/b', Buffer.from('x'))).rejects.toMatchObject(refused)
  await expect(store.putIfAbsent('b', Buffer.from('x'))).rejects.toMatchObject(refused)
  expect(await store.head('a/b')).toBeUndefined()
  expect(await store.head('b')).toBeUndefined()
})

test('list fails and names the file when a file name is not UTF-8', async () => {
  const { root, store } = await openFresh()
  await writeFile(Buffer.concat([Buffer.from(`${root}/bad-`), Buffer.from([0xff])]), '')
  await expect(keysOf(store, '')).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('UTF-8'),
  })
})

test('exactly one of 8 processes that put the same key succeeds', async () => {
  const { root, store } = await openFresh()
  const open = new URL('../src/open.ts', import.meta.url).href
  const script = `
    const { openStore } = await import(process.argv[1])
    const store = await openStore(process.argv[2])
    let won = 0
    for (let round = 0; round < 50; round++) {
      won += await store.putIfAbsent('round-' + round, Buffer.from(process.argv[3])) === 'created'
    }
    process.stdout.write(String(won))`
  const racers = Array.from({ length: 8 }, (_, racer) =>
    promisify(execFile)(process.execPath, [
      '--conditions=@reembed/source',
      '--input-type=module',
      '-e',
      script,
      open,
      root,
      `racer ${racer}`,
    ]),
  )
  const won = (await Promise.all(racers)).map(({ stdout }) => Number(stdout))
  expect(won.reduce((sum, n) => sum + n)).toBe(50)
  expect(await keysOf(store, '')).toHaveLength(50)
  const winners = await Promise.all(
    Array.from({ length: 50 }, (_, round) => readFile(join(root, `round-${round}`), 'utf8')),
  )
  expect(won).toEqual(won.map((_, racer) => winners.filter(winner => winner === `racer ${racer}`).length))
  expect((await readdir(root)).filter(name => name.startsWith('.'))).toEqual([])
})

test('the deleter of a folder below a symbolic link deletes objects, and leaves what the link hides', async () => {
  const { root, store } = await openFresh()
  const link = `${root}-link`
  await symlink(root, link)
  await store.putIfAbsent('runs/a/data', Buffer.from('a'))
  await store.putIfAbsent('runs/b/data', Buffer.from('b'))
  await using deleter = await openDeleter(link)
  await deleter.delete('runs/a/data')
  expect(await keysOf(store, '')).toEqual(['runs/b/data'])
  expect(await readdir(join(root, 'runs'))).toEqual(['b'])
  expect(await readFile(join(link, 'runs/b/data'), 'utf8')).toBe('b')
})
