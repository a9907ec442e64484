// The only way to delete, and no part of a store: who plans, embeds and publishes has no use for it, and needs no right to.

import { rmdir, unlink } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { codeOf, ReembedError } from '@reembed/shared'
import { removeStale } from './folder.ts'
import { folderError, pathOf, refuseOutside, undefinedIfNotFound } from './folder-path.ts'
import type { OpenStoreOptions } from './open.ts'
import type { ObjectDeleter } from './store.ts'

/** For an output as `openStore` opens it. @throws ReembedError USAGE for what cannot be written to. */
export async function openDeleter(url: string, { s3 }: OpenStoreOptions = {}): Promise<ObjectDeleter> {
  if (url.startsWith('s3://')) return (await import('./s3-delete.ts')).openS3Deleter(url, s3)
  if (/^[a-z0-9+.-]+:\/\//i.test(url)) throw new ReembedError('USAGE', `nothing can be deleted in '${url}'`)
  return openFolderEraser(resolve(url))
}

async function openFolderEraser(root: string): Promise<ObjectDeleter> {
  await removeStale(root).catch((error: unknown) => {
    throw folderError(error, 'write', root)
  })
  return {
    async delete(key, { signal } = {}) {
      const path = pathOf(root, key)
      try {
        signal?.throwIfAborted()
        await refuseOutside(root, dirname(path))
        await unlink(path).catch(undefinedIfNotFound)
        await removeEmpty(dirname(path), root)
      } catch (error) {
        throw folderError(error, 'write', path)
      }
    },
    async [Symbol.asyncDispose]() {},
  }
}

/** S3 has no folders to be left behind, so neither do we leave any. */
async function removeEmpty(folder: string, root: string): Promise<void> {
  for (let at = folder; at !== root; at = dirname(at)) {
    const removed = await rmdir(at).then(
      () => true,
      error => {
        if (['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(codeOf(error) ?? '')) return false
        throw error
      },
    )
    if (!removed) return
  }
}
