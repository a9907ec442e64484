// Enqueues the missing shards of a run. Idempotent: the queue ignores a job id that it holds, and a
// worker skips a shard that exists.

import { type Plan, requireSlices } from '@reembed/protocol'
import type { Queue } from '@reembed/queue'
import type { Store } from '@reembed/store'

const BULK = 1_000

/**
 * Adds a job for each missing shard. Returns the number of jobs that the queue did not have.
 * @throws ReembedError CORRUPT for a plan without the slices that it states, before a job is added
 */
export async function enqueueMissing(
  queue: Queue,
  store: Store,
  plan: Plan,
  present: Uint32Array,
): Promise<number> {
  await requireSlices(store, plan)
  let jobs = []
  let added = 0
  for (let shard = 0; shard < plan.shards; shard += 1) {
    if (present[shard] === 0) jobs.push({ output: store.url, run: plan.run, shard })
    if (jobs.length === BULK || shard === plan.shards - 1) {
      added += await queue.add(jobs)
      jobs = []
    }
  }
  return added
}
