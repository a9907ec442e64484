// Enqueues the missing shards of a run. Idempotent: the queue ignores a job id that it holds, and a
// worker skips a shard that exists.

import type { Plan } from '@reembed/protocol'
import type { Queue } from '@reembed/queue'
import { shardOfKey, shardPrefix } from '@reembed/shared'
import type { Store } from '@reembed/store'

const BULK = 1_000

/** The size of each shard in bytes, 0 where it is missing, from a LIST of the run's data. */
export async function shardsPresent(store: Store, plan: Plan): Promise<Uint32Array> {
  const present = new Uint32Array(plan.shards)
  for await (const { key, size } of store.list(shardPrefix(plan.run))) {
    const shard = shardOfKey(key, plan.run, plan.shards)
    // An empty object is damaged, not missing.
    if (shard !== undefined) present[shard] = Math.max(1, size)
  }
  return present
}

export const countPresent = (present: Uint32Array): number =>
  present.reduce((count, size) => count + Math.min(1, size), 0)

/** Adds a job for each missing shard. Returns the number of jobs that the queue did not have. */
export async function enqueueMissing(
  queue: Queue,
  output: string,
  plan: Plan,
  present: Uint32Array,
): Promise<number> {
  let jobs = []
  let added = 0
  for (let shard = 0; shard < plan.shards; shard += 1) {
    if (present[shard] === 0) jobs.push({ output, run: plan.run, shard })
    if (jobs.length === BULK || shard === plan.shards - 1) {
      added += await queue.add(jobs)
      jobs = []
    }
  }
  return added
}
