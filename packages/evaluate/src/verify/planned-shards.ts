// The shards of a plan in order, for finalize and verify.

import { type Plan, readSlices, type Slice } from '@reembed/protocol'
import { ReembedError, shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'

export interface PlannedShard {
  readonly shard: number
  readonly key: string
  readonly slice: Slice
}

/** Yields the shards of a plan in corpus order. Reads one segment of slices at a time. */
export async function* plannedShards(
  store: Store,
  plan: Plan,
): AsyncGenerator<PlannedShard, void, undefined> {
  let shard = 0
  for await (const slice of readSlices(store, plan)) {
    yield { shard, key: shardKey(plan.run, shard, plan.shards), slice }
    shard += 1
  }
}

/** @throws ReembedError UNBALANCED when a shard that must be there is not. */
export async function requireShardExists(store: Store, key: string): Promise<void> {
  if (await store.head(key)) return
  throw new ReembedError('UNBALANCED', `${key} in ${store.url} is missing: enqueue the run again`, {
    reason: 'shard_missing',
  })
}
