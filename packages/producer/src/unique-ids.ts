// Is every id of a run unique? Reads only the id columns, in memory that does not grow with the corpus: each id is
// hashed to 64 bits. Equal hashes are looked at again as ids before anybody is accused.

import { createHash } from 'node:crypto'
import { mapConcurrent, type Plan, ReembedError, readIds, type Store, shardKey } from '@reembed/shared'
import { openBuckets } from './buckets.ts'

const SHARDS_AT_ONCE = 8
const SHOWN = 3

/** @throws ReembedError DUPLICATE_ID naming the first few ids and both places of each. */
export async function requireUniqueIds(
  store: Store,
  plan: Plan,
  rows: number,
  signal?: AbortSignal,
): Promise<void> {
  const buckets = await openBuckets(rows)
  const repeated = new Set<bigint>()
  try {
    for await (const { ids } of shardIds(store, plan, signal)) {
      for (const id of ids) await buckets.add(hashOf(id))
    }
    for await (const hashes of buckets.sorted()) {
      for (let i = 1; i < hashes.length && repeated.size < 10 * SHOWN; i += 1) {
        const hash = hashes[i]
        if (hash !== undefined && hash === hashes[i - 1]) repeated.add(hash)
      }
    }
  } finally {
    await buckets.close()
  }
  if (repeated.size > 0) await accuse(store, plan, repeated, signal)
}

async function accuse(store: Store, plan: Plan, repeated: Set<bigint>, signal?: AbortSignal): Promise<void> {
  const places = new Map<string, string[]>()
  for await (const { ids, key } of shardIds(store, plan, signal)) {
    for (const [row, id] of ids.entries()) {
      if (!repeated.has(hashOf(id))) continue
      const seen = places.get(id)
      if (seen) seen.push(`row ${row} of ${key}`)
      else places.set(id, [`row ${row} of ${key}`])
    }
  }
  const twice = [...places].filter(([, seen]) => seen.length > 1)
  if (twice.length === 0) return
  const shown = twice
    .slice(0, SHOWN)
    .map(([id, seen]) => `${JSON.stringify(id)} (${seen.slice(0, 2).join(' and ')})`)
  const more = twice.length > SHOWN ? ' and more' : ''
  throw new ReembedError(
    'DUPLICATE_ID',
    `ids must be unique in a corpus, these are not: ${shown.join(', ')}${more}. Nothing was published; make them unique or choose another field with --id`,
  )
}

async function* shardIds(store: Store, plan: Plan, signal?: AbortSignal) {
  const keys = Array.from({ length: plan.shards }, (_, shard) => shardKey(plan.run, shard, plan.shards))
  yield* mapConcurrent(keys, async key => ({ key, ids: await readIds(store, key) }), {
    limit: SHARDS_AT_ONCE,
    signal,
  })
}

export const hashOf = (id: string): bigint => createHash('sha256').update(id).digest().readBigUInt64LE(0)
