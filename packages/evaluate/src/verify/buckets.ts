// Sorts 64-bit hashes in memory that does not grow with their number: they are partitioned into
// buckets by their lowest bits (all but the last one, so that its two values share a bucket), and
// each bucket is sorted on its own. With several buckets, each is a file in a temporary folder.

import { appendFile, mkdtemp, open, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Hashes that are sorted at once: 64 MiB. */
const BUCKET_HASHES = 8 * 1024 * 1024
/**
 * Hashes buffered per bucket before they are appended to its file; 32 MiB over all buckets at most.
 */
const FLUSH_HASHES = 16 * 1024
const HELD_HASHES = 4 * 1024 * 1024

const HASH_BYTES = 8
/** Buckets differ a little in size. */
const GROWTH = 1.02

export interface Buckets {
  /** Adds hashes. The caller may change the array afterwards. */
  add(hashes: BigUint64Array): Promise<void>
  /** The sorted hashes of each bucket in turn. An array is valid until the next is requested. */
  sorted(): AsyncGenerator<BigUint64Array, void, undefined>
  close(): Promise<void>
}

/**
 * The 32-bit words of hashes, the lower one first. Reading an entry of a BigUint64Array allocates a
 * bigint.
 */
export const wordsOf = ({ buffer, byteOffset, length }: BigUint64Array): Uint32Array =>
  new Uint32Array(buffer, byteOffset, 2 * length)

/** Opens buckets for about `expected` hashes. The caller must close them. */
export async function openBuckets(expected: number): Promise<Buckets> {
  const count = Math.max(1, Math.ceil(expected / BUCKET_HASHES))
  return count === 1 ? bucketInMemory() : bucketsInFiles(count)
}

function bucketInMemory(): Buckets {
  let parts: BigUint64Array[] = []
  return {
    async add(hashes) {
      parts.push(hashes.slice())
    },
    async *sorted() {
      const all = new BigUint64Array(parts.reduce((sum, { length }) => sum + length, 0))
      let used = 0
      for (const part of parts) {
        all.set(part, used)
        used += part.length
      }
      parts = []
      yield all.sort()
    },
    async close() {
      parts = []
    },
  }
}

async function bucketsInFiles(count: number): Promise<Buckets> {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-ids-'))
  const file = (bucket: number): string => join(folder, `${bucket}`)
  const full = 2 * Math.min(FLUSH_HASHES, Math.floor(HELD_HASHES / count))
  const held = Array.from({ length: count }, () => ({ words: new Uint32Array(full), used: 0 }))
  const flush = async (bucket: number): Promise<void> => {
    const pending = held[bucket]
    if (!pending) return
    // appendFile, unlike a single write, retries a short write: a lost hash would hide a duplicate.
    await appendFile(file(bucket), Buffer.from(pending.words.buffer, 0, 4 * pending.used))
    pending.used = 0
  }
  return {
    async add(hashes) {
      const words = wordsOf(hashes)
      for (let i = 0; i < words.length; i += 2) {
        const low = words[i] ?? 0
        const bucket = (low >>> 1) % count
        const pending = held[bucket]
        if (!pending) return
        pending.words[pending.used] = low
        pending.words[pending.used + 1] = words[i + 1] ?? 0
        pending.used += 2
        if (pending.used === full) await flush(bucket)
      }
    },
    async *sorted() {
      // One array for all buckets: those of earlier buckets would wait for the garbage collector.
      let hashes = new BigUint64Array(0)
      for (let bucket = 0; bucket < count; bucket += 1) {
        await flush(bucket)
        const length = (await stat(file(bucket))).size / HASH_BYTES
        if (length > hashes.length) hashes = new BigUint64Array(Math.ceil(length * GROWTH))
        const found = hashes.subarray(0, length)
        await readInto(file(bucket), found)
        yield found.sort()
        await rm(file(bucket))
      }
    },
    async close() {
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Fills an array with the bytes of a file. @throws Error if the file is shorter */
async function readInto(path: string, { buffer, byteOffset, byteLength }: BigUint64Array): Promise<void> {
  await using file = await open(path)
  for (let at = 0; at < byteLength; ) {
    const { bytesRead } = await file.read(new Uint8Array(buffer, byteOffset + at, byteLength - at))
    if (bytesRead === 0) throw new Error(`${path} ended while it was read`)
    at += bytesRead
  }
}
