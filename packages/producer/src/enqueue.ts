// Enqueues the missing shards of a run. Idempotent: the queue ignores a job id that it holds, and a
// worker skips a shard that exists.

import type { Plan } from '@reembed/protocol'
import type { Queue } from '@reembed/queue'

const BULK = 1_000

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
