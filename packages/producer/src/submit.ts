// Records a planned run and puts its missing shards on the queue. Idempotent: any process may
// submit the same run again.

import { applyBudget, type PlannedRun, recordPlan } from '@reembed/planner'
import {
  continueSuperseded,
  countPresent,
  type Manifest,
  type Plan,
  type RunBudget,
  readManifest,
  shardsPresent,
} from '@reembed/protocol'
import type { Queue } from '@reembed/queue'
import type { Store } from '@reembed/store'
import type { CarryOptions } from './carry.ts'
import { enqueueMissing } from './enqueue.ts'

export interface SubmittedRun {
  readonly plan: Plan
  /** Whether this call recorded the plan; else it was recorded before. */
  readonly created: boolean
  /** Set if the run is finished: then nothing is enqueued. */
  readonly manifest?: Manifest | undefined
  readonly shardsDone: number
  /** Jobs added to the queue. Jobs that it had already do not count. */
  readonly enqueued: number
}

/** A run in the store after its plan was recorded and its budget applied. Needs no queue. */
export type RecordedRun = Pick<SubmittedRun, 'plan' | 'created' | 'manifest'>

/**
 * Records the plan and applies the budget; continues a run that a version has
 * superseded. `enqueueRun` then enqueues the shards.
 * @throws ReembedError RUN_STOPPED for a run that is paused, cancelled or being deleted.
 */
export async function recordRun(
  store: Store,
  planned: PlannedRun & { readonly budget: RunBudget },
): Promise<RecordedRun> {
  const { plan, created } = await recordPlan(store, planned)
  const manifest = await readManifest(store, plan.run)
  if (!manifest) {
    await applyBudget(store, plan.run, planned.budget)
    await continueSuperseded(store, plan)
  }
  return { plan, created, manifest }
}

/**
 * Removes the failed jobs of a run from the queue. Unless the run is finished, carries its
 * unchanged shards over and enqueues the others. Called after `recordRun`.
 */
export async function enqueueRun(
  store: Store,
  queue: Queue,
  { plan, manifest }: Pick<RecordedRun, 'plan' | 'manifest'>,
  options: CarryOptions = {},
): Promise<Pick<SubmittedRun, 'enqueued' | 'shardsDone'>> {
  await queue.removeFailed({ output: store.url, run: plan.run })
  if (manifest) return { enqueued: 0, shardsDone: plan.shards }
  const present = await shardsPresent(store, plan)
  const enqueued = await enqueueMissing(queue, store, plan, present, options)
  return { enqueued, shardsDone: countPresent(present) }
}

/**
 * Records the plan, applies the budget, removes failed jobs and enqueues missing shards.
 * @throws ReembedError RUN_STOPPED for a run that is paused, cancelled or being deleted,
 * REDIS_MISCONFIGURED for a full Redis.
 */
export async function submitRun(
  store: Store,
  queue: Queue,
  planned: PlannedRun & { readonly budget: RunBudget },
): Promise<SubmittedRun> {
  const recorded = await recordRun(store, planned)
  return { ...recorded, ...(await enqueueRun(store, queue, recorded)) }
}
