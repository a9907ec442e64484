// Sorts 64-bit hashes in memory that does not grow with their number: they are partitioned into
// buckets by their lowest bits (all but the last one, so that its two values share a bucket), and
// each bucket is sorted on its own. With several buckets, each is a file in a temporary folder.

import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Hashes that are sorted at once: 64 MiB. */
const BUCKET_HASHES = 8 * 1024 * 1024
/**
 * Hashes buffered per bucket before they are appended to its file; 32 MiB over all buckets at most.
 */
const FLUSH_HASHES = 16 * 1024
const HELD_HASHES = 4 * 1024 * 1024

export interface Buckets {
  add(hash: bigint): Promise<void>
  /** The sorted hashes of each bucket in turn. */
  sorted(): AsyncGenerator<BigUint64Array, void, undefined>
  close(): Promise<void>
}

/** Opens buckets for at most `maxHashes` hashes. The caller must close them. */
export async function openBuckets(maxHashes: number): Promise<Buckets> {
  const count = Math.max(1, Math.ceil(maxHashes / BUCKET_HASHES))
  if (count === 1) {
    const hashes = new BigUint64Array(maxHashes)
    let used = 0
    return {
      async add(hash) {
        hashes[used++] = hash
      },
      async *sorted() {
        yield hashes.subarray(0, used).sort()
      },
      async close() {},
    }
  }
  const folder = await mkdtemp(join(tmpdir(), 'reembed-ids-'))
  const file = (bucket: number): string => join(folder, `${bucket}`)
  const kept = Math.min(FLUSH_HASHES, Math.floor(HELD_HASHES / count))
  const held = Array.from({ length: count }, () => ({ hashes: new BigUint64Array(kept), used: 0 }))
  const flush = async (bucket: number): Promise<void> => {
    const pending = held[bucket]
    if (!pending) return
    // appendFile, unlike a single write, retries a short write: a lost hash would hide a duplicate.
    await appendFile(file(bucket), Buffer.from(pending.hashes.buffer, 0, 8 * pending.used))
    pending.used = 0
  }
  return {
    async add(hash) {
      const bucket = Number((hash >> 1n) % BigInt(count))
      const pending = held[bucket]
      if (!pending) return
      pending.hashes[pending.used++] = hash
      if (pending.used === kept) await flush(bucket)
    },
    async *sorted() {
      for (let bucket = 0; bucket < count; bucket += 1) {
        await flush(bucket)
        const bytes = await readFile(file(bucket))
        yield new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8).slice().sort()
        await rm(file(bucket))
      }
    },
    async close() {
      await rm(folder, { recursive: true, force: true })
    },
  }
}
