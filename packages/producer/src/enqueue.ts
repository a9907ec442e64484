// Puts what is missing of a run on the queue. Harmless to repeat: a job id that the queue holds is ignored, and a
// worker that finds the shard there is done.

import { type Plan, type Queue, type Store, shardOfKey, shardPrefix } from '@reembed/shared'

const BULK = 1_000

/** One byte a shard: 1 where the store has it. A LIST of the run's data decides, nothing else does. */
export async function shardsPresent(store: Store, plan: Plan): Promise<Uint8Array> {
  const present = new Uint8Array(plan.shards)
  for await (const { key } of store.list(shardPrefix(plan.run))) {
    const shard = shardOfKey(key, plan.run, plan.shards)
    if (shard !== undefined) present[shard] = 1
  }
  return present
}

export const countPresent = (present: Uint8Array): number => present.reduce((sum, bit) => sum + bit, 0)

/** Adds a job for each shard that is not there; returns how many. */
export async function enqueueMissing(
  queue: Queue,
  output: string,
  plan: Plan,
  present: Uint8Array,
): Promise<number> {
  let jobs = []
  let added = 0
  for (let shard = 0; shard < plan.shards; shard += 1) {
    if (present[shard] === 0) jobs.push({ output, run: plan.run, shard })
    if (jobs.length === BULK || shard === plan.shards - 1) {
      await queue.add(jobs)
      added += jobs.length
      jobs = []
    }
  }
  return added
}
