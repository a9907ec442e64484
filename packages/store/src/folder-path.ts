// From keys to paths: no key and no symbolic link leads out of the store's root.

import { realpath } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'

import { codeOf, messageOf, ReembedError } from '@reembed/shared'

/**
 * The path of a key. Names that start with a dot are refused (that includes '.' and '..'): they are never listed,
 * so that editors' files, version control and half-written objects are not taken for documents.
 */
export function pathOf(root: string, key: string): string {
  for (const name of key.split('/')) {
    if (name === '' || name.startsWith('.') || name.includes('\0')) {
      throw new ReembedError(
        'USAGE',
        `Key ${JSON.stringify(key)} cannot be kept in a folder: the names between its slashes must not be empty, start with a dot or hold a NUL`,
      )
    }
  }
  return join(root, key)
}

/** The path without symbolic links, undefined if there is nothing; fails if it lies outside the root. */
export async function realPathInside(root: string, path: string): Promise<string | undefined> {
  const real = await realpath(path).catch(undefinedIfNotFound)
  if (real === undefined) return undefined
  const way = relative(root, real)
  if (way === '..' || way.startsWith('../')) {
    throw new ReembedError(
      'USAGE',
      `'${path}' is a symbolic link that leads out of '${root}', to '${real}': remove it, or start from a folder that holds both`,
    )
  }
  return real
}

/** Fails if the nearest existing folder of a path that is about to be made lies outside the root. */
export async function refuseOutside(root: string, path: string): Promise<void> {
  let at = path
  while ((await realPathInside(root, at)) === undefined) at = dirname(at)
}

/** For `catch`: undefined where nothing is at the path, else the error again. */
export function undefinedIfNotFound(error: unknown): undefined {
  const code = codeOf(error)
  if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
  throw error
}

const DENIED: Record<string, string> = {
  EACCES: 'no permission; give this user the right, or use another folder',
  EPERM: 'not permitted; give this user the right, or use another folder',
  EROFS: 'the file system is read-only; use another folder',
  ENOSPC: 'the disk is full; free some space, then run again',
  EDQUOT: 'the disk quota is used up; free some space, then run again',
}

const UNFIT: Record<string, string> = {
  ENAMETOOLONG: 'a name is too long for this file system',
  ENOTDIR: 'a part of the path is a file; a folder cannot hold a file and a folder of one name',
  EEXIST: 'a part of the path is a file; a folder cannot hold a file and a folder of one name',
  EISDIR: 'it is a folder; a folder cannot hold a file and a folder of one name',
  ELOOP: 'its symbolic links form a circle',
}

/** What a failed file operation means to a person. Errors that are not the file system's are given back as they are. */
export function folderError(error: unknown, verb: 'read' | 'write' | 'list' | 'open', path: string): unknown {
  const code = codeOf(error)
  if (error instanceof ReembedError || code === undefined || !/^E[A-Z0-9]+$/.test(code)) return error
  const denied = DENIED[code]
  if (denied)
    return new ReembedError('STORE_ACCESS_DENIED', `Cannot ${verb} '${path}': ${denied} (${code})`, {
      cause: error,
    })
  const unfit = UNFIT[code]
  if (unfit)
    return new ReembedError('USAGE', `Cannot ${verb} '${path}': ${unfit} (${code})`, { cause: error })
  return new ReembedError('STORE_UNREACHABLE', `Cannot ${verb} '${path}': ${messageOf(error)}`, {
    retry: 'retry',
    cause: error,
  })
}
