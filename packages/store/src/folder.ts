// A folder as a store. link(2) is an atomic put-if-absent: it creates the name or fails with
// EEXIST. The file is complete and synced to disk before the link.

import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, link, lstat, open, readdir, realpath, stat, unlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

import { codeOf, ReembedError } from '@reembed/shared'
import { infoOf, listFolder } from './folder-list.ts'
import {
  folderError,
  makeFolder,
  pathOf,
  realPathInside,
  refuseOutside,
  requireRoot,
  undefinedIfNotFound,
} from './folder-path.ts'
import { collect } from './keys.ts'
import { ObjectNotFound } from './not-found.ts'
import { keepReserve } from './reserve.ts'
import type { ObjectInfo, ReadOptions, Store } from './store.ts'

export interface FolderOptions {
  /** Create the folder if it does not exist. */
  readonly create?: boolean | undefined
}

const PIECE_BYTES = 256 * 1024
/** A `get` needs all bytes in one buffer; up to this size it reads them into it at once. */
const GET_BYTES = 64 * 2 ** 20

/** Temporary names in the root: an object is written under one, then linked to its own name. */
const UNFINISHED = /^\.reembed-.*\.tmp$/
/** No write takes this long, so an older temporary file was left by a crash. */
const STALE_MS = 3_600_000

/**
 * Opens a folder as a store. Files and folders whose name starts with a dot are never listed, read
 * or written. Symbolic links are followed inside the folder and refused where they lead out of it.
 * @throws ReembedError SOURCE_NOT_FOUND, USAGE or STORE_ACCESS_DENIED
 */
export async function openFolder(path: string, { create = false }: FolderOptions = {}): Promise<Store> {
  const url = resolve(path)
  const root = await openRoot(url, create)
  let swept: Promise<void> | undefined
  const syncFolder = createFolderSync()

  async function* stream(
    key: string,
    { start = 0, end = Number.POSITIVE_INFINITY, ifMatch, signal }: ReadOptions = {},
    pieceBytes = PIECE_BYTES,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const path = pathOf(root, key)
    try {
      signal?.throwIfAborted()
      await using file = await openFile(root, path)
      if (file === undefined) await requireRoot(root)
      const found = file && (await infoOfOpen(key, file))
      if (ifMatch !== undefined && found?.etag !== ifMatch) throw changed(path)
      if (file === undefined || found === undefined) {
        throw new ObjectNotFound(`'${path}'`)
      }
      const stop = Math.min(end, found.size)
      for (let at = start; at < stop; ) {
        signal?.throwIfAborted()
        const piece = Buffer.allocUnsafe(Math.min(pieceBytes, stop - at))
        // A read may return fewer bytes: the rest is read into the same buffer.
        for (let filled = 0; filled < piece.length; ) {
          const { bytesRead } = await file.read(piece, filled, piece.length - filled, at + filled)
          if (bytesRead === 0) throw changed(path)
          filled += bytesRead
        }
        at += piece.length
        yield piece
      }
      // A file can change during a read, unlike an S3 object: compare the etag again at the end.
      if (ifMatch !== undefined && (await infoOfOpen(key, file))?.etag !== ifMatch) throw changed(path)
    } catch (error) {
      throw folderError(error, 'read', path)
    }
  }

  /** Creates a folder; returns the first one that was created. */
  async function prepare(folder: string): Promise<string | undefined> {
    await requireRoot(root)
    await refuseOutside(root, folder)
    return makeFolder(folder)
  }

  /** Calls `make` for the path of a key, and makes the new name durable. */
  async function makeIfAbsent<Outcome>(
    key: string,
    signal: AbortSignal | undefined,
    make: (path: string) => Promise<Outcome>,
  ): Promise<Outcome> {
    const path = pathOf(root, key)
    try {
      signal?.throwIfAborted()
      const folder = dirname(path)
      // A folder that exists in the root needs no more calls: a version links thousands of shards.
      const made = (await realPathInside(root, folder)) === undefined ? await prepare(folder) : undefined
      swept ??= removeStale(root)
      await swept
      const outcome = await make(path)
      // Also after 'exists': the caller relies on the object even if its writer crashed before the
      // sync.
      for (let at = folder; ; at = dirname(at)) {
        await syncFolder(at)
        if (made === undefined || at === dirname(made)) return outcome
      }
    } catch (error) {
      signal?.throwIfAborted()
      throw folderError(error, 'write', path)
    }
  }

  return {
    url,
    list: (prefix, options) => listFolder(root, prefix, options),
    stream: (key, options) => stream(key, options),
    get: (key, options) => collect(stream(key, options, GET_BYTES)),

    async head(key, { signal } = {}) {
      const path = pathOf(root, key)
      try {
        signal?.throwIfAborted()
        const real = await realPathInside(root, path)
        if (real === undefined) await requireRoot(root)
        const stats =
          real === undefined ? undefined : await stat(real, { bigint: true }).catch(undefinedIfNotFound)
        return stats?.isFile() ? infoOf(key, stats) : undefined
      } catch (error) {
        throw folderError(error, 'read', path)
      }
    },

    putIfAbsent: (key, body, { signal } = {}) =>
      makeIfAbsent(key, signal, async path =>
        (await isTaken(path)) ? 'exists' : write(root, path, body, signal),
      ),

    copyIfAbsent: (from, to, { signal } = {}) =>
      makeIfAbsent(to, signal, async path => {
        const source = await realPathInside(root, pathOf(root, from))
        if (source !== undefined) return linkUnlessRefused(source, path)
        // A repeated copy, and gc has deleted its source since.
        if (await isTaken(path)) return 'exists'
        throw new ObjectNotFound(`'${pathOf(root, from)}'`)
      }),

    reserve: () => keepReserve(root),

    async [Symbol.asyncDispose]() {},
  }
}

async function openRoot(path: string, create: boolean): Promise<string> {
  try {
    if (create) await makeFolder(path)
    const root = await realpath(path).catch(undefinedIfNotFound)
    if (root === undefined)
      throw new ReembedError('SOURCE_NOT_FOUND', `There is no folder '${path}': check the path`)
    if (!(await stat(root)).isDirectory())
      throw new ReembedError('USAGE', `'${path}' is a file, not a folder`)
    return root
  } catch (error) {
    throw folderError(error, 'open', path)
  }
}

/**
 * Opens a file for reading. O_NONBLOCK: opening a named pipe must not block before its type is
 * checked.
 */
async function openFile(root: string, path: string): Promise<FileHandle | undefined> {
  const real = await realPathInside(root, path)
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  return real === undefined ? undefined : open(real, flags).catch(undefinedIfNotFound)
}

async function infoOfOpen(key: string, file: FileHandle): Promise<ObjectInfo | undefined> {
  const stats = await file.stat({ bigint: true })
  return stats.isFile() ? infoOf(key, stats) : undefined
}

const changed = (path: string): ReembedError =>
  new ReembedError(
    'SOURCE_CHANGED',
    `'${path}' was changed or removed since the run was planned: plan a new run`,
  )

async function isTaken(path: string): Promise<boolean> {
  const stats = await lstat(path).catch(undefinedIfNotFound)
  if (stats?.isDirectory()) throw Object.assign(new Error('is a folder'), { code: 'EISDIR' })
  return stats !== undefined
}

async function write(
  root: string,
  path: string,
  body: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<'created' | 'exists'> {
  const unfinished = join(root, `.reembed-${randomUUID()}.tmp`)
  try {
    await using file = await open(unfinished, 'wx')
    // Not `writeFile`: it makes a thread pool round trip per 512 KiB.
    for (let at = 0; at < body.length; ) at += (await file.write(body, at)).bytesWritten
    await file.sync()
    signal?.throwIfAborted()
    return await linkIfFree(unfinished, path)
  } finally {
    await unlink(unfinished).catch(undefinedIfNotFound)
  }
}

const NO_HARD_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EXDEV', 'EMLINK'])

async function linkIfFree(unfinished: string, path: string): Promise<'created' | 'exists'> {
  try {
    await link(unfinished, path)
    return 'created'
  } catch (error) {
    const code = codeOf(error) ?? ''
    // NFS can lose the reply to a successful link and refuse the retry: then the link count is 2.
    if (code === 'EEXIST') return (await stat(unfinished)).nlink > 1 ? 'created' : 'exists'
    if (!NO_HARD_LINKS.has(code)) throw error
    throw new ReembedError(
      'STORE_UNSAFE',
      `The file system of '${path}' cannot make hard links (${code}), so two workers could overwrite each other's shards; use a folder on a local disk, or s3://`,
      { cause: error },
    )
  }
}

/**
 * Links a complete object to a second name. 'unsupported' for example where it has as many names as
 * the file system permits, or another owner.
 */
async function linkUnlessRefused(
  source: string,
  path: string,
): Promise<'created' | 'exists' | 'unsupported'> {
  try {
    await link(source, path)
    return 'created'
  } catch (error) {
    const code = codeOf(error) ?? ''
    // Not taken: it was deleted meanwhile.
    if (code === 'EEXIST') return (await isTaken(path)) ? 'exists' : linkUnlessRefused(source, path)
    if (NO_HARD_LINKS.has(code)) return 'unsupported'
    throw error
  }
}

/**
 * Returns a function that syncs a folder. Concurrent calls for one folder share a sync that began
 * after them: thousands of links would else wait for as many syncs.
 */
function createFolderSync(): (path: string) => Promise<void> {
  const running = new Map<string, Promise<void>>()
  const next = new Map<string, Promise<void>>()

  function begin(path: string): Promise<void> {
    next.delete(path)
    const sync = syncFolder(path).finally(() => running.delete(path))
    running.set(path, sync)
    return sync
  }

  return path => {
    const current = running.get(path)
    if (current === undefined) return begin(path)
    const shared = next.get(path) ?? current.catch(() => {}).then(() => begin(path))
    next.set(path, shared)
    return shared
  }
}

/** Syncs a folder: a new name is durable only after that. */
async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, constants.O_RDONLY)
  await folder.sync().catch((error: unknown) => {
    // Some file systems do not support fsync on a folder.
    if (codeOf(error) !== 'EINVAL' && codeOf(error) !== 'ENOTSUP') throw error
  })
}

/** Removes temporary files that crashes left in the root. */
export async function removeStale(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    if (!UNFINISHED.test(name)) continue
    const path = join(root, name)
    const stats = await lstat(path).catch(undefinedIfNotFound)
    if (stats && Date.now() - stats.mtimeMs > STALE_MS) await unlink(path).catch(undefinedIfNotFound)
  }
}
