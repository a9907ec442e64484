// Deletion is an interface apart from `Store`: planning, embedding and publishing never delete, so
// their credentials need no permission to.

import { realpath, rmdir, unlink } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { codeOf, isUrl, ReembedError } from '@reembed/shared'
import { removeStale } from './folder.ts'
import { folderError, pathOf, refuseOutside, undefinedIfNotFound } from './folder-path.ts'
import type { OpenStoreOptions } from './open.ts'
import { isFull, keepReserve, releaseReserve } from './reserve.ts'
import { s3PlaceOf } from './s3-url.ts'
import type { ObjectDeleter } from './store.ts'

/**
 * Opens the deleter of an output; `url` as for `openStore`.
 * @throws ReembedError USAGE for a read-only store
 */
export async function openDeleter(url: string, { s3 }: OpenStoreOptions = {}): Promise<ObjectDeleter> {
  const place = s3PlaceOf(url, s3)
  if (place) return (await import('./s3-delete.ts')).openS3Deleter(place.url, place.options)
  if (isUrl(url)) throw new ReembedError('USAGE', `cannot delete from '${url}': it is read-only`)
  const path = resolve(url)
  // The keys of a store are below its real path; `refuseOutside` compares with it.
  return openFolderEraser((await realpath(path).catch(undefinedIfNotFound)) ?? path)
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
    async makeRoom(error) {
      return isFull(error) && (await releaseReserve(root))
    },
    [Symbol.asyncDispose]: () => keepReserve(root),
  }
}

/** Removes empty folders up to `root`: an S3 store has no folders either. */
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
