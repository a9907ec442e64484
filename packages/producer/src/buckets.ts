// 64-bit hashes sorted in memory that does not grow with their number: they are dealt into buckets
// by their lowest bits (all but the last one, so that its two values meet), and a bucket is sorted
// on its own. Buckets beyond one go through files in a temporary folder.

import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Hashes that are sorted at once: 64 MiB. */
const BUCKET_HASHES = 8 * 1024 * 1024
/** Kept per bucket before they go into its file; 32 MiB over all buckets at most. */
const FLUSH_HASHES = 16 * 1024
const HELD_HASHES = 4 * 1024 * 1024

export interface Buckets {
  add(hash: bigint): Promise<void>
  /** The hashes of one bucket after the other, each sorted. */
  sorted(): AsyncGenerator<BigUint64Array, void, undefined>
  close(): Promise<void>
}

/** For at most so many hashes. To be closed. */
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
    // Unlike a single write, it goes on until all of it is there: a hash that is lost hides a
    // repeated id.
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
