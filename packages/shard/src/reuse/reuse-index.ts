// Finds vectors by content hash in a few shards of a base run. Only hashes are read until a text
// is found. A shard that supplies a vector is first read completely and checked against the hash in
// its receipt.

import { messageOf } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { corruptShard, type RowGroupLayout, type ShardFooter, undefinedIfCorrupt } from '../read/footer.ts'
import { decodeVectors } from '../read/pages.ts'
import { type BodyLayout, readByteRange, readHashes, readRowGroups } from '../read/read.ts'
import { createHashTable, type HashTable } from './hash-table.ts'

export interface ReuseIndex {
  /** The vector for each content hash; undefined where the base run has none. */
  findVectors(hashes: readonly string[], options?: LookUpOptions): Promise<(Float32Array | undefined)[]>
  /** Whether each content hash is in a shard that `findVectors` searches. Reads no vectors. */
  has(hashes: readonly string[], options?: LookUpOptions): Promise<boolean[]>
}

export interface LookUpOptions {
  readonly signal?: AbortSignal | undefined
  /** Texts that were looked up together, if other indexes have found some. The default is all. */
  readonly batch?: number | undefined
}

/** A shard of a base run, or a checkpoint, with the content hashes of its rows. */
export interface IndexedShard {
  readonly key: string
  /** Without the rest of its receipt, which names each reject. */
  readonly footer: BodyLayout
  readonly hashes: HashTable
}

/** Memory that a shard takes in a cache. */
export const bytesOf = ({ hashes, footer }: IndexedShard): number =>
  hashes.bytes + footer.rowGroups.length * ROW_GROUP_BYTES

const ROW_GROUP_BYTES = 1_024

export interface ReuseIndexOptions {
  readonly dimensions: number
  /** Shards to search, the most likely first. */
  nearShards(signal?: AbortSignal): AsyncIterable<IndexedShard>
  /** Shards to search for hashes many of which the near ones do not have. */
  farShards?(signal?: AbortSignal): AsyncIterable<IndexedShard>
}

/**
 * Of this many texts of a batch, one that the near shards do not have is no reason to search the
 * far ones.
 */
const MANY = 8

interface RowLocation {
  readonly shard: IndexedShard
  readonly row: number
}

/** Reads the content hashes of a shard. @throws ReembedError CORRUPT */
export const indexShard = async (
  store: Store,
  key: string,
  footer: ShardFooter,
  signal?: AbortSignal,
): Promise<IndexedShard> => ({
  key,
  footer: {
    name: footer.name,
    footerStart: footer.footerStart,
    dtype: footer.dtype,
    rowGroups: footer.rowGroups,
    receipt: { bodySha256: footer.receipt.bodySha256 },
  },
  hashes: createHashTable(await readHashes(store, key, footer, signal)),
})

/** Decoded row groups in the cache, 4 MiB each: usually all of a shard. */
const KEPT_GROUPS = 4

export function createReuseIndex(
  store: Store,
  { dimensions, nearShards, farShards }: ReuseIndexOptions,
): ReuseIndex {
  const near = openedOnce(nearShards)
  const far = farShards && openedOnce(farShards)
  const kept = new Map<RowGroupLayout, Float32Array>()
  const verified = new Set<IndexedShard>()

  /** Where each hash is found. */
  async function locate(
    hashes: readonly string[],
    { signal, batch = hashes.length }: LookUpOptions,
  ): Promise<(RowLocation | undefined)[]> {
    const shards = await near(signal)
    const found = hashes.map(hash => locationIn(shards, hash))
    const missing = found.reduce((count, location) => count + (location === undefined ? 1 : 0), 0)
    if (far === undefined || MANY * missing <= batch) return found
    const others = await far(signal)
    return found.map((location, at) => location ?? locationIn(others, hashes[at] ?? ''))
  }

  function keep({ footer }: IndexedShard, group: RowGroupLayout, bytes: Uint8Array): Float32Array {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    try {
      const vectors = decodeVectors(chunk, group.rows, { dimensions, dtype: footer.dtype })
      kept.set(group, vectors)
      const [oldest] = kept.keys()
      if (kept.size > KEPT_GROUPS && oldest !== undefined) kept.delete(oldest)
      return vectors
    } catch (cause) {
      throw corruptShard(footer.name, `cannot be read: ${messageOf(cause)}`, cause)
    }
  }

  async function verifyShard(shard: IndexedShard, signal?: AbortSignal): Promise<void> {
    if (verified.has(shard)) return
    for await (const { group, bytes } of readRowGroups(store, shard.key, shard.footer, signal)) {
      const { start, end } = group.embedding
      keep(shard, group, bytes.subarray(start - group.start, end - group.start))
    }
    verified.add(shard)
  }

  /**
   * Copies the vectors of the wanted rows of one shard, which are in row order, to their targets.
   */
  async function copy(
    shard: IndexedShard,
    wanted: readonly { readonly row: number; readonly to: Float32Array }[],
    signal?: AbortSignal,
  ): Promise<true> {
    await verifyShard(shard, signal)
    let begin = 0
    let at = 0
    for (const group of shard.footer.rowGroups) {
      const end = begin + group.rows
      for (let next = wanted[at]; next !== undefined && next.row < end; next = wanted[++at]) {
        const vectors =
          kept.get(group) ??
          keep(shard, group, await readByteRange(store, shard.key, shard.footer, group.embedding, signal))
        next.to.set(vectors.subarray((next.row - begin) * dimensions, (next.row - begin + 1) * dimensions))
      }
      begin = end
    }
    return true
  }

  return {
    async has(hashes, options = {}) {
      return (await locate(hashes, options)).map(location => location !== undefined)
    },
    async findVectors(hashes, options = {}) {
      const wanted = new Map<IndexedShard, { row: number; at: number }[]>()
      for (const [at, location] of (await locate(hashes, options)).entries()) {
        if (location === undefined) continue
        const rows = wanted.get(location.shard) ?? []
        rows.push({ row: location.row, at })
        wanted.set(location.shard, rows)
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
        if (!(await undefinedIfCorrupt(copy(shard, sorted, options.signal)))) continue
        for (const { at, to } of sorted) found[at] = to
      }
      return found
    },
  }
}

function locationIn(shards: readonly IndexedShard[], hash: string): RowLocation | undefined {
  for (const shard of shards) {
    const row = shard.hashes.rowOf(hash)
    if (row !== undefined) return { shard, row }
  }
  return undefined
}

/** Opens the shards at the first call. A failed opening is not cached. */
function openedOnce(
  shards: (signal?: AbortSignal) => AsyncIterable<IndexedShard>,
): (signal?: AbortSignal) => Promise<readonly IndexedShard[]> {
  let opened: Promise<readonly IndexedShard[]> | undefined
  return signal => {
    opened ??= Array.fromAsync(shards(signal))
    opened.catch(() => {
      opened = undefined
    })
    return opened
  }
}

/** Searches each index for the hashes that the ones before it do not have. */
export function searchInOrder(indexes: readonly ReuseIndex[]): ReuseIndex {
  async function search<T>(
    hashes: readonly string[],
    batch: number | undefined,
    lookUp: (index: ReuseIndex, missing: string[], batch: number) => Promise<readonly T[]>,
  ): Promise<(T | undefined)[]> {
    const found = new Array<T | undefined>(hashes.length).fill(undefined)
    for (const index of indexes) {
      const missing = [...found.keys()].filter(at => !found[at])
      if (missing.length === 0) break
      const results = await lookUp(
        index,
        missing.map(at => hashes[at] ?? ''),
        batch ?? hashes.length,
      )
      for (const [i, at] of missing.entries()) found[at] = results[i]
    }
    return found
  }
  return {
    has: async (hashes, { signal, batch } = {}) =>
      (await search(hashes, batch, (index, missing, of) => index.has(missing, { signal, batch: of }))).map(
        Boolean,
      ),
    findVectors: (hashes, { signal, batch } = {}) =>
      search(hashes, batch, (index, missing, of) => index.findVectors(missing, { signal, batch: of })),
  }
}
