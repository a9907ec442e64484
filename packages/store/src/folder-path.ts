// Maps keys to paths. No key and no symbolic link may lead outside the root of the store.

import { mkdir, realpath, stat } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'

import { codeOf, messageOf, openFilesReason, ReembedError } from '@reembed/shared'

/**
 * Returns the path of a key. Refuses names that start with a dot, '.' and '..' included: they are
 * never listed, so that editor files, version control and incomplete objects are not read as
 * documents.
 * @throws ReembedError USAGE
 */
export function pathOf(root: string, key: string): string {
  for (const name of key.split('/')) {
    if (name === '' || name.startsWith('.') || name.includes('\0')) {
      throw new ReembedError(
        'USAGE',
        `Key ${JSON.stringify(key)} is not valid in a folder: the names between its slashes must not be empty, start with a dot or contain a NUL`,
      )
    }
  }
  return join(root, key)
}

/**
 * Resolves symbolic links in a path; undefined if the path does not exist.
 * @throws ReembedError USAGE if the result is outside the root
 */
export async function realPathInside(root: string, path: string): Promise<string | undefined> {
  const real = await realpath(path).catch(undefinedIfNotFound)
  if (real === undefined) return undefined
  const way = relative(root, real)
  if (way === '..' || way.startsWith('../')) {
    throw new ReembedError(
      'USAGE',
      `'${path}' is a symbolic link that leads out of '${root}', to '${real}': remove the link, or open a folder that contains both`,
    )
  }
  return real
}

/**
 * Throws if the root was removed since it was opened. Without this check every object of it would
 * only seem to be missing, and a worker would embed texts whose vectors exist.
 * @throws ReembedError STORE_UNREACHABLE
 */
export async function requireRoot(root: string): Promise<void> {
  if (await stat(root).catch(undefinedIfNotFound)) return
  throw new ReembedError('STORE_UNREACHABLE', `The folder '${root}' no longer exists: restore or mount it`, {
    retry: 'requeue',
  })
}

/**
 * Creates a folder and its parents; returns the first folder that was created. Node's recursive
 * mkdir reports ENOENT for each folder that it cannot create on a read-only file system, so the
 * reason is that of the first missing one.
 */
export async function makeFolder(path: string): Promise<string | undefined> {
  try {
    return await mkdir(path, { recursive: true })
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
    let missing = path
    while (!(await stat(dirname(missing)).catch(undefinedIfNotFound))) missing = dirname(missing)
    await mkdir(missing)
    await mkdir(path, { recursive: true })
    return missing
  }
}

/** Throws if the nearest existing ancestor of a path to be created is outside the root. */
export async function refuseOutside(root: string, path: string): Promise<void> {
  let at = path
  while ((await realPathInside(root, at)) === undefined) at = dirname(at)
}

/** For `catch`: returns undefined if the path does not exist, else rethrows. */
export function undefinedIfNotFound(error: unknown): undefined {
  const code = codeOf(error)
  if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
  throw error
}

const DENIED: Record<string, string> = {
  EACCES: 'no permission; grant this user access, or use another folder',
  EPERM: 'not permitted; grant this user access, or use another folder',
  EROFS: 'the file system is read-only; use another folder',
  ENOSPC: 'the disk is full; free some space, then run again',
  EDQUOT: 'the disk quota is exceeded; free some space, then run again',
}

const UNSUPPORTED: Record<string, string> = {
  ENAMETOOLONG: 'a name is too long for this file system',
  ENOTDIR: 'a part of the path is a file; a file and a folder cannot have the same name',
  EEXIST: 'a part of the path is a file; a file and a folder cannot have the same name',
  EISDIR: 'it is a folder; a file and a folder cannot have the same name',
  ELOOP: 'its symbolic links form a cycle',
}

/** Maps a file system error to a ReembedError. Returns any other error unchanged. */
export function folderError(error: unknown, verb: 'read' | 'write' | 'list' | 'open', path: string): unknown {
  const code = codeOf(error)
  if (error instanceof ReembedError || code === undefined || !/^E[A-Z0-9]+$/.test(code)) return error
  const denied = DENIED[code] && `${DENIED[code]} (${code})`
  const reason = denied ?? openFilesReason(error)
  if (reason)
    return new ReembedError('STORE_ACCESS_DENIED', `Cannot ${verb} '${path}': ${reason}`, { cause: error })
  const unsupported = UNSUPPORTED[code]
  if (unsupported)
    return new ReembedError('USAGE', `Cannot ${verb} '${path}': ${unsupported} (${code})`, { cause: error })
  return new ReembedError('STORE_UNREACHABLE', `Cannot ${verb} '${path}': ${messageOf(error)}`, {
    retry: 'retry',
    cause: error,
  })
}
