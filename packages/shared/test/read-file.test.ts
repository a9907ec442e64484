import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readFileWithin } from '../src/read-file.ts'

test('a file is read up to its limit, and refused beyond it, also a device that never ends', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-read-'))
  try {
    const path = join(folder, 'file')
    await writeFile(path, '1234')
    expect(String(await readFileWithin(path, 4))).toBe('1234')
    await expect(readFileWithin(path, 3)).rejects.toThrow('it has more than 3 bytes')
    await expect(readFileWithin('/dev/zero', 1_000_000)).rejects.toThrow('more than 1000000 bytes')
    await expect(readFileWithin(folder, 4)).rejects.toMatchObject({ code: 'EISDIR' })
  } finally {
    await rm(folder, { recursive: true })
  }
})
