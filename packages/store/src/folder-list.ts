// Lists a folder in the order of full keys. Memory holds one directory per level.

import { isUtf8 } from 'node:buffer'
import type { BigIntStats } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { mapConcurrent, ReembedError } from '@reembed/shared'
import { folderError, realPathInside, requireRoot, undefinedIfNotFound } from './folder-path.ts'
import { compareKeys } from './keys.ts'
import type { ListedObject, ListOptions } from './store.ts'

/**
 * Packages of Node.js: not the text of a user, and with pnpm full of links that lead out of the
 * folder.
 */
const PACKAGES = 'node_modules'

/** Concurrent stat calls. */
const STATS_AT_ONCE = 16

interface Entry {
  /**
   * Ends with '/' for a folder, so that the order of a directory's entries is the order of the keys
   * below them.
   */
  readonly key: string
  readonly path: string
}

/**
 * Yields the regular files under `root` whose key starts with `prefix`. Skips names that start with
 * a dot and `node_modules`, and everything below them. Follows symbolic links within the root.
 * Omits files that another process deletes during the listing.
 */
export async function* listFolder(
  root: string,
  prefix: string,
  { startAfter, signal }: ListOptions = {},
): AsyncGenerator<ListedObject, void, undefined> {
  /** Whether the listing may contain the entry or a key below it. */
  const wanted = ({ key }: Entry): boolean => {
    const folder = key.endsWith('/')
    if (!key.startsWith(prefix) && !(folder && prefix.startsWith(key))) return false
    if (startAfter === undefined) return true
    return compareKeys(key, startAfter) > 0 || (folder && startAfter.startsWith(key))
  }

  async function* walk(
    folder: Entry,
    above: readonly string[],
  ): AsyncGenerator<ListedObject, void, undefined> {
    signal?.throwIfAborted()
    const real = await realPathInside(root, folder.path)
    if (real === undefined) {
      if (above.length === 0) await requireRoot(root)
      return
    }
    if (above.includes(real)) {
      throw new ReembedError(
        'USAGE',
        `'${folder.path}' is a symbolic link to a folder that contains it: remove the link`,
      )
    }
    const inside = (await entries(root, folder)).filter(wanted).sort((a, b) => compareKeys(a.key, b.key))
    const described = mapConcurrent(
      inside,
      async entry => ({ entry, info: entry.key.endsWith('/') ? undefined : await describe(entry) }),
      { concurrency: STATS_AT_ONCE, signal },
    )
    for await (const { entry, info } of described) {
      if (info) yield info
      else if (entry.key.endsWith('/')) yield* walk(entry, [...above, real])
    }
  }

  yield* walk({ key: '', path: root }, [])
}

async function entries(root: string, folder: Entry): Promise<Entry[]> {
  const found: Entry[] = []
  try {
    for (const dirent of await readdir(folder.path, { withFileTypes: true, encoding: 'buffer' })) {
      const name = dirent.name.toString()
      if (name.startsWith('.') || name === PACKAGES) continue
      if (!isUtf8(dirent.name)) {
        throw new ReembedError(
          'USAGE',
          `The name of '${join(folder.path, name)}' is not valid UTF-8: rename the file`,
        )
      }
      const path = join(folder.path, name)
      const real = dirent.isSymbolicLink() ? await realPathInside(root, path) : undefined
      const kind = real === undefined ? dirent : ((await stat(real).catch(undefinedIfNotFound)) ?? dirent)
      if (kind.isDirectory()) found.push({ key: `${folder.key}${name}/`, path })
      else if (kind.isFile()) found.push({ key: `${folder.key}${name}`, path })
    }
  } catch (error) {
    throw folderError(error, 'list', folder.path)
  }
  return found
}

async function describe({ key, path }: Entry): Promise<ListedObject | undefined> {
  try {
    const stats = await stat(path, { bigint: true }).catch(undefinedIfNotFound)
    return stats?.isFile() ? infoOf(key, stats) : undefined
  } catch (error) {
    throw folderError(error, 'list', path)
  }
}

/**
 * Describes a file as an object. The etag changes with the size, the modification time or the
 * inode.
 */
export function infoOf(key: string, { size, mtimeMs, mtimeNs, ino }: BigIntStats): ListedObject {
  const etag = [size, mtimeNs, ino].map(part => part.toString(36)).join('-')
  return { key, size: Number(size), etag, modifiedMs: Number(mtimeMs) }
}
