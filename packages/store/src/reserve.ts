// Space for the records of deletions. A deletion is recorded before it happens, and a full disk
// takes no record. So an output in a folder keeps a file whose removal makes room for some hundred
// records.

import { randomBytes } from 'node:crypto'
import { open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from '@reembed/shared'
import { undefinedIfNotFound } from './folder-path.ts'

const NAME = '.reembed-reserve'
const BYTES = 2 ** 20
const FULL: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT'])

/** Whether a write failed because the disk or the quota is full. */
export const isFull = (error: unknown): boolean =>
  FULL.has(codeOf(error) ?? '') || FULL.has(codeOf(error instanceof Error ? error.cause : undefined) ?? '')

/** Creates the reserve in a folder unless it exists or there is no space for it. */
export async function keepReserve(root: string): Promise<void> {
  const path = join(root, NAME)
  try {
    await using file = await open(path, 'wx')
    // Random, so that a file system that compresses keeps the space.
    await file.writeFile(randomBytes(BYTES))
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') await unlink(path).catch(() => {})
  }
}

/** Removes the reserve; false if the folder has none. */
export async function releaseReserve(root: string): Promise<boolean> {
  const released = await unlink(join(root, NAME)).then(() => true, undefinedIfNotFound)
  return released === true
}
