// Disk errors that a test cannot cause on every machine: one call is mocked to fail, all others are
// real.

import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { openStore } from '../src/open.ts'
import type { Store } from '../src/store.ts'

/** The call that fails, and its error code. */
let fault: { readonly call: string; readonly code: string; readonly after?: boolean } | undefined
/** The buffers of reads, each of which returns at most 7 bytes; undefined for real reads. */
let shortReads: Set<Buffer> | undefined

vi.mock('node:fs/promises', async importOriginal => {
  const fs = await importOriginal<typeof import('node:fs/promises')>()
  const fail = (): never => {
    throw Object.assign(new Error(`${fault?.code}: injected by the test`), { code: fault?.code })
  }
  return {
    ...fs,
    async link(from: string, to: string) {
      if (fault?.call === 'link' && !fault.after) fail()
      await fs.link(from, to)
      if (fault?.call === 'link') fail()
    },
    async open(path: string, flags: string | number) {
      if (fault?.call === 'open' && flags === 'wx') fail()
      const file = await fs.open(path, flags)
      if (fault?.call === 'write') file.write = async () => fail()
      if (fault?.call === 'sync') file.sync = async () => fail()
      if (shortReads) {
        const read = file.read.bind(file) as (...args: readonly unknown[]) => Promise<unknown>
        file.read = (async (buffer: Buffer, offset: number, length: number, position: number) => {
          shortReads?.add(buffer)
          return read(buffer, offset, Math.min(7, length), position)
        }) as typeof file.read
      }
      return file
    },
  }
})

let root: string
let store: Store
beforeEach(async () => {
  fault = undefined
  shortReads = undefined
  root = await mkdtemp(join(tmpdir(), 'reembed-faults-'))
  store = await openStore(root)
})
afterEach(() => rm(root, { recursive: true }))

const put = (): Promise<'created' | 'exists'> => store.putIfAbsent('dir/a', Buffer.from('x'))

test.each([
  { call: 'write', code: 'ENOSPC', says: /disk is full; free some space/ },
  { call: 'sync', code: 'EDQUOT', says: /quota is exceeded; free some space/ },
  { call: 'open', code: 'EROFS', says: /read-only; use another folder/ },
  { call: 'open', code: 'EACCES', says: /no permission; grant this user access/ },
])('a failed put leaves no file and names the fix on $code', async ({ call, code, says }) => {
  fault = { call, code }
  const denied = { code: 'STORE_ACCESS_DENIED', retry: 'never', message: expect.stringMatching(says) }
  await expect(put()).rejects.toMatchObject(denied)
  await expect(put()).rejects.toMatchObject({ message: expect.stringContaining(join(root, 'dir', 'a')) })
  expect(await readdir(root)).toEqual(['dir'])
  expect(await readdir(join(root, 'dir'))).toEqual([])
})

test('an I/O error of the disk is retried', async () => {
  fault = { call: 'sync', code: 'EIO' }
  await expect(put()).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', retry: 'retry' })
  fault = undefined
  expect(await put()).toBe('created')
})

test.each(['EPERM', 'ENOTSUP', 'EXDEV'])(
  'a file system without hard links (%s) is STORE_UNSAFE',
  async code => {
    fault = { call: 'link', code }
    await expect(put()).rejects.toMatchObject({
      code: 'STORE_UNSAFE',
      message: expect.stringContaining('hard links'),
    })
    expect(await readdir(root)).toEqual(['dir'])
  },
)

test('a put returns created when the link was made although the reply is EEXIST', async () => {
  fault = { call: 'link', code: 'EEXIST', after: true }
  expect(await put()).toBe('created')
  fault = { call: 'link', code: 'EEXIST' }
  expect(await put()).toBe('exists')
})

test('short reads are continued in one buffer', async () => {
  const body = Buffer.from('a body that is longer than a read')
  await store.putIfAbsent('a', body)
  shortReads = new Set()
  expect(Buffer.from(await store.get('a'))).toEqual(body)
  expect(shortReads.size).toBe(1)
})
