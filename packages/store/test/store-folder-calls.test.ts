// The system calls of a link: a new version of ten million documents makes thousands.

import { link, lstat, mkdir, mkdtemp, open, readdir, realpath, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openStore } from '../src/open.ts'

vi.mock('node:fs/promises', async original => {
  const real = await original<Record<string, () => unknown>>()
  const counted = Object.entries(real).map(([name, call]) => [
    name,
    typeof call === 'function' ? vi.fn(call) : call,
  ])
  return { ...real, ...Object.fromEntries(counted) }
})

let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'reembed-calls-'))
})
afterAll(() => rm(root, { recursive: true }))

const CALLS = { link, lstat, mkdir, open, readdir, realpath, stat }

/** The calls that `act` makes. */
async function callsOf(act: () => Promise<unknown>): Promise<Record<string, number>> {
  vi.clearAllMocks()
  await act()
  const counts = Object.entries(CALLS).map(
    ([name, call]) => [name, vi.mocked(call).mock.calls.length] as const,
  )
  return Object.fromEntries(counts.filter(([, count]) => count > 0))
}

test('a link into a folder that exists checks both paths, links, and syncs the folder', async () => {
  await using store = await openStore(root)
  await store.putIfAbsent('old/a', Buffer.from('x'))
  await store.copyIfAbsent('old/a', 'new/a')
  expect(await callsOf(() => store.copyIfAbsent('old/a', 'new/b'))).toEqual({ realpath: 2, link: 1, open: 1 })
  expect(await store.copyIfAbsent('old/a', 'new/b')).toBe('exists')
})

test('a repeated link whose source was deleted meanwhile exists', async () => {
  await using store = await openStore(root)
  await store.putIfAbsent('old/a', Buffer.from('x'))
  await store.copyIfAbsent('old/a', 'new/a')
  await rm(join(root, 'old/a'))
  expect(await store.copyIfAbsent('old/a', 'new/a')).toBe('exists')
})

test('a link to the name of a folder is refused', async () => {
  await using store = await openStore(root)
  await store.putIfAbsent('one/a', Buffer.from('x'))
  await store.putIfAbsent('taken/by/folder', Buffer.from('x'))
  await expect(store.copyIfAbsent('one/a', 'taken/by')).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('it is a folder'),
  })
})
