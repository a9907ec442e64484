// Carries a shard over from a base run where no document of the slice has changed. The producer has
// done so for the shards that a base run had then, if the store copies; a job remains for a shard
// that a base run got later, and in a store that does not copy.

import type { Slice } from '@reembed/protocol'
import type { Job } from '@reembed/queue'
import type { BaseRuns } from '@reembed/shard'
import { shardKey } from '@reembed/shared'
import { ObjectNotFound, type Store } from '@reembed/store'
import { readConcurrentShard } from './concurrent-shard.ts'
import type { PutShard } from './job-result.ts'
import type { OpenRun } from './run-cache.ts'

/** Undefined where a document has changed, or where the base run has no such shard any more. */
export async function carryShard(
  { shard }: Job,
  { store, plan }: OpenRun,
  slice: Slice,
  baseRuns: BaseRuns | undefined,
  signal: AbortSignal,
): Promise<PutShard | undefined> {
  const reusable = await baseRuns?.reusableShard(slice, signal)
  if (reusable === undefined) return undefined
  const key = shardKey(plan.run, shard, plan.shards)
  signal.throwIfAborted()
  const outcome = await copy(store, reusable.key, key, signal).catch((error: unknown) => {
    // gc deleted the base run since its footer was read.
    if (error instanceof ObjectNotFound) return undefined
    throw error
  })
  if (outcome === undefined) return undefined
  if (outcome === 'exists')
    return { status: 'already_exists', ...(await readConcurrentShard(store, key, plan, shard, slice)) }
  return { status: 'carried', receipt: reusable.receipt, bytes: reusable.size }
}

async function copy(
  store: Store,
  from: string,
  to: string,
  signal: AbortSignal,
): Promise<'created' | 'exists'> {
  const outcome = await store.copyIfAbsent(from, to, { signal })
  if (outcome !== 'unsupported') return outcome
  return store.putIfAbsent(to, await store.get(from, { signal }), { signal })
}
