// Which shards of a run exist, from a LIST of its data.

import { shardOfKey, shardPrefix } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { Plan } from './plan.ts'

/** The size of each shard in bytes, 0 where it is missing. */
export async function shardsPresent(store: Store, plan: Pick<Plan, 'run' | 'shards'>): Promise<Uint32Array> {
  const present = new Uint32Array(plan.shards)
  for await (const { key, size } of store.list(shardPrefix(plan.run))) {
    const shard = shardOfKey(key, plan.run, plan.shards)
    // An empty object is damaged, not missing.
    if (shard !== undefined) present[shard] = Math.max(1, size)
  }
  return present
}

/** The number of shards that exist. */
export const countPresent = (present: Uint32Array): number =>
  present.reduce((count, size) => count + Math.min(1, size), 0)
