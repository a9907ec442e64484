// File systems that take no writes: full, or read-only. A tmpfs of the test's own, where the test
// may mount one.

import { execFileSync } from 'node:child_process'
import { open, readdir, statfs, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, serveTei } from '@reembed/local'
import { codeOf } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { expect } from 'vitest'
import { documents, flags, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'
import { makeRun } from './parts/make-run.ts'
import { testUnless } from './parts/needs.ts'

const mount = (...args: string[]): void => void execFileSync('mount', args, { stdio: 'ignore' })

/** What is lacking to mount a file system; undefined if nothing. */
const lack = await (async (): Promise<string | undefined> => {
  await using folder = await temporaryFolder()
  try {
    mount('-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder.path)
    execFileSync('umount', [folder.path])
    return undefined
  } catch {
    return 'only root may mount a file system'
  }
})()

interface SmallDisk extends AsyncDisposable {
  readonly path: string
  /** Writes until nothing more fits; returns what makes room again. */
  fill(): Promise<() => Promise<void>>
  makeReadOnly(): void
}

async function startSmallDisk(bytes: number): Promise<SmallDisk> {
  const folder = await temporaryFolder()
  const { path } = folder
  mount('-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path)
  return {
    path,
    async fill() {
      const name = join(path, 'ballast')
      await using file = await open(name, 'wx')
      const piece = Buffer.alloc(4096, 1)
      try {
        while (true) await file.write(piece)
      } catch (error) {
        if (codeOf(error) !== 'ENOSPC') throw error
      }
      return () => unlink(name)
    },
    makeReadOnly: () => mount('-o', 'remount,ro', path),
    async [Symbol.asyncDispose]() {
      execFileSync('umount', [path])
      await folder[Symbol.asyncDispose]()
    },
  }
}

testUnless(lack, 'gc deletes runs on a full disk, and verify still holds for the rest', async () => {
  await using disk = await startSmallDisk(8 * 2 ** 20)
  const output = join(disk.path, 'vectors')
  await using folder = await temporaryFolder()
  await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
  const runs: string[] = []
  for (const count of [40, 41]) {
    const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(count))
    runs.push((await makeRun({ source, output, url: tei.url })).plan.run)
  }
  const empty = await disk.fill()
  expect((await statfs(disk.path)).bavail).toBe(0)
  const gc = ['gc', '--delete', '--json', ...flags({ output, keep: '1', 'older-than': '0' })]
  const { code, stdout, stderr } = await inProcess(gc)
  expect({ code, stderr }).toMatchObject({ code: 0 })
  expect(JSON.parse(stdout).deletedRuns).toEqual([runs[0]])
  expect(await readdir(join(output, 'runs', runs[0] ?? ''))).toEqual(['state'])
  await empty()
  expect((await inProcess(['verify', ...flags({ output })])).code).toBe(0)
})

testUnless(lack, 'a read-only file system is named as such, also where folders are missing', async () => {
  await using disk = await startSmallDisk(2 ** 20)
  const output = join(disk.path, 'vectors')
  await using store = await openStore(output, { create: true })
  disk.makeReadOnly()
  const refused = (path: string): object => ({
    code: 'STORE_ACCESS_DENIED',
    message: `Cannot ${path}: the file system is read-only; use another folder (EROFS)`,
  })
  const other = join(disk.path, 'a/b/c')
  await expect(openStore(other, { create: true })).rejects.toMatchObject(refused(`open '${other}'`))
  const put = (key: string) => store.putIfAbsent(key, Buffer.from('x'))
  await expect(put('x')).rejects.toMatchObject(refused(`write '${output}/x'`))
  await expect(put('d/e/x')).rejects.toMatchObject(refused(`write '${output}/d/e/x'`))
})
