// Reads selected documents of a finished run by id, to compare them with another model's vectors.

import { createHash } from 'node:crypto'
import type { Manifest } from '@reembed/protocol'
import { readIds, readShard } from '@reembed/shard'
import { mapConcurrent, shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { Rows } from './rows.ts'

const SHARDS_AT_ONCE = 8

/**
 * Finds the shard of each wanted id; ids that the run lacks are absent. Reads all ids, no vectors.
 */
export async function locateRows(
  store: Store,
  { run, shards }: Manifest,
  wanted: ReadonlySet<string>,
): Promise<Map<string, number>> {
  const located = new Map<string, number>()
  const all = Array.from({ length: shards }, (_, shard) => shard)
  const found = mapConcurrent(
    all,
    async shard => ({ shard, ids: await readIds(store, shardKey(run, shard, shards)) }),
    { concurrency: SHARDS_AT_ONCE },
  )
  for await (const { shard, ids } of found) {
    for (const id of ids) if (wanted.has(id)) located.set(id, shard)
  }
  return located
}

/**
 * Reads the vectors of `ids`, in that order. Reads only the shards that contain one of them.
 * @param located the result of `locateRows`; the row of an id that is absent there is all zeros
 */
export async function readRowsById(
  store: Store,
  { run, shards, model: { dimensions } }: Manifest,
  ids: readonly string[],
  located: ReadonlyMap<string, number>,
): Promise<Rows> {
  const places = new Map(ids.map((id, place) => [id, place]))
  const vectors = new Float32Array(ids.length * dimensions)
  const needed = new Set(ids.flatMap(id => located.get(id) ?? []))
  for (const shard of needed) {
    for await (const batch of readShard(store, shardKey(run, shard, shards))) {
      for (const [row, id] of batch.ids.entries()) {
        const place = places.get(id)
        if (place === undefined) continue
        vectors.set(batch.vectors.subarray(row * dimensions, (row + 1) * dimensions), place * dimensions)
      }
    }
  }
  return { ids, vectors, dimensions }
}

/**
 * Sorts documents by the hash of their id. The first n are then a deterministic, pseudorandom
 * sample.
 */
export function orderByIdHash<T extends { readonly id: string }>(documents: readonly T[]): T[] {
  const hashed = documents.map(document => ({
    document,
    hash: createHash('sha256').update(document.id).digest('hex'),
  }))
  return hashed.sort((a, b) => (a.hash < b.hash ? -1 : 1)).map(({ document }) => document)
}
