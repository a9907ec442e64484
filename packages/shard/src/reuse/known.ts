// Vectors by the hash of their text, from a few shards of the base. Only hashes are read until a text is found;
// a shard that gives a vector is read whole first, and held to the hash in its receipt.

import { messageOf } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { HASH_BYTES } from '../read/columns.ts'
import { corrupt, type GroupLayout, type ShardFooter, unlessCorrupt } from '../read/footer.ts'
import { decodeVectors } from '../read/pages.ts'
import { readBody, readHashes, readSpan } from '../read/read.ts'

export interface Known {
  /** The vector of each text, given by its content hash, where there is one. */
  find(hashes: readonly string[], signal?: AbortSignal): Promise<(Float32Array | undefined)[]>
  /** How many of the texts have one; reads no vectors. */
  has(hashes: readonly string[], signal?: AbortSignal): Promise<number>
}

export interface KnownShard {
  readonly key: string
  readonly footer: ShardFooter
}

export interface KnownOptions {
  readonly dimensions: number
  /** Where to look, the likeliest first. */
  shards(signal?: AbortSignal): AsyncIterable<KnownShard>
}

interface Place {
  readonly shard: KnownShard
  readonly row: number
}

/** Row groups that are kept decoded, 4 MiB each: as a rule all of a shard. */
const KEPT_GROUPS = 4

export function createKnown(store: Store, { dimensions, shards }: KnownOptions): Known {
  let index: Promise<Map<string, Place>> | undefined
  const kept = new Map<GroupLayout, Float32Array>()
  const proved = new Set<KnownShard>()

  async function indexed(signal?: AbortSignal): Promise<Map<string, Place>> {
    const places = new Map<string, Place>()
    for await (const shard of shards(signal)) {
      const hashes = await unlessCorrupt(readHashes(store, shard.key, shard.footer, signal))
      if (hashes === undefined) continue
      const bytes = Buffer.from(hashes.buffer, hashes.byteOffset, hashes.byteLength)
      for (let row = 0; row * HASH_BYTES < hashes.length; row += 1) {
        const hash = bytes.toString('latin1', row * HASH_BYTES, (row + 1) * HASH_BYTES)
        if (!places.has(hash)) places.set(hash, { shard, row })
      }
    }
    return places
  }

  function keep({ footer }: KnownShard, group: GroupLayout, bytes: Uint8Array): Float32Array {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    try {
      const vectors = decodeVectors(chunk, group.rows, { dimensions, dtype: footer.dtype })
      kept.set(group, vectors)
      const [oldest] = kept.keys()
      if (kept.size > KEPT_GROUPS && oldest !== undefined) kept.delete(oldest)
      return vectors
    } catch (cause) {
      throw corrupt(footer.name, `cannot be read: ${messageOf(cause)}`, cause)
    }
  }

  async function prove(shard: KnownShard, signal?: AbortSignal): Promise<void> {
    if (proved.has(shard)) return
    for await (const { group, bytes } of readBody(store, shard.key, shard.footer, signal)) {
      const { start, end } = group.embedding
      keep(shard, group, bytes.subarray(start - group.start, end - group.start))
    }
    proved.add(shard)
  }

  /** Copies the vectors of some rows of one shard, in their order, to `rows` of `target`. */
  async function copy(
    shard: KnownShard,
    wanted: readonly { readonly row: number; readonly to: Float32Array }[],
    signal?: AbortSignal,
  ): Promise<true> {
    await prove(shard, signal)
    let begin = 0
    let at = 0
    for (const group of shard.footer.groups) {
      const end = begin + group.rows
      for (let one = wanted[at]; one !== undefined && one.row < end; one = wanted[++at]) {
        const vectors =
          kept.get(group) ??
          keep(shard, group, await readSpan(store, shard.key, shard.footer, group.embedding, signal))
        one.to.set(vectors.subarray((one.row - begin) * dimensions, (one.row - begin + 1) * dimensions))
      }
      begin = end
    }
    return true
  }

  function lookUp(signal?: AbortSignal): Promise<Map<string, Place>> {
    index ??= indexed(signal)
    index.catch(() => {
      index = undefined
    })
    return index
  }

  return {
    async has(hashes, signal) {
      const places = await lookUp(signal)
      return hashes.filter(hash => places.has(hash)).length
    },
    async find(hashes, signal) {
      const places = await lookUp(signal)
      const wanted = new Map<KnownShard, { row: number; at: number }[]>()
      for (const [at, hash] of hashes.entries()) {
        const place = places.get(hash)
        if (place === undefined) continue
        const rows = wanted.get(place.shard) ?? []
        rows.push({ row: place.row, at })
        wanted.set(place.shard, rows)
      }
      const found = new Array<Float32Array | undefined>(hashes.length).fill(undefined)
      for (const [shard, rows] of wanted) {
        const vectors = new Float32Array(rows.length * dimensions)
        const sorted = rows
          .sort((a, b) => a.row - b.row)
          .map(({ row, at }, i) => ({
            row,
            at,
            to: vectors.subarray(i * dimensions, (i + 1) * dimensions),
          }))
        if (!(await unlessCorrupt(copy(shard, sorted, signal)))) continue
        for (const { at, to } of sorted) found[at] = to
      }
      return found
    },
  }
}
