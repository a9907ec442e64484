// Enqueues the missing shards of a run, after those that can be carried over were. Idempotent: the
// queue ignores a job id that it holds, and a worker skips a shard that exists.

import { baseRunsOf, type Plan, refuseDeleted, requireSlices } from '@reembed/protocol'
import type { Queue } from '@reembed/queue'
import type { Store } from '@reembed/store'
import { type CarryOptions, carryUnchanged } from './carry.ts'

const BULK = 1_000

/**
 * Carries unchanged shards over, enters them in `present`, and adds a job for each shard that is
 * still missing. Returns the number of jobs that the queue did not have: 0 while another process
 * carries the shards of the run over, which adds the jobs then.
 * @throws ReembedError CORRUPT for a plan without the slices that it states, before a job is added;
 * RUN_STOPPED for a run that gc deletes
 */
export async function enqueueMissing(
  queue: Queue,
  store: Store,
  plan: Plan,
  present: Uint32Array,
  options: CarryOptions = {},
): Promise<number> {
  try {
    await requireSlices(store, plan)
  } catch (error) {
    // gc erases the plan of a run that it deletes, also while another process enqueues the run.
    await refuseDeleted(store, plan.run, 'RUN_STOPPED')
    throw error
  }
  if (baseRunsOf(plan).length > 0 && present.includes(0)) {
    const of = { output: store.url, run: plan.run }
    const carry = (): Promise<number> => carryUnchanged(store, plan, present, options)
    if ((await queue.withFinalizeLease(of, carry)) === undefined) return 0
  }
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
