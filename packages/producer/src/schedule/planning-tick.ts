// Handles a due tick or a hook: plans a run, and enqueues it unless its trigger requires a change
// and nothing changed.

import type { EndpointResolver, ResolvedEndpoint } from '@reembed/endpoint'
import { type Corpus, newestPlan, type PlanNotice, type PlanOptions, planCorpus } from '@reembed/planner'
import type { TickOutcome } from '@reembed/protocol'
import type { Queue, RedisTarget } from '@reembed/queue'
import type { Store } from '@reembed/store'
import { submitRun } from '../submit.ts'
import type { ScheduleTrigger } from './check.ts'

export interface PlanningTick {
  readonly corpus: Corpus
  readonly endpoint: ResolvedEndpoint | EndpointResolver
  readonly options: PlanOptions
  readonly store: Store
  readonly queue: Queue
  readonly redis?: RedisTarget | undefined
  /** See `PlanContext`. */
  readonly awaitEndpoint?: boolean | undefined
  readonly onNotice?: ((notice: PlanNotice) => void) | undefined
}

/**
 * Plans a run and submits it, unless the trigger requires a change and the newest run of the
 * output, finished or not, shows none.
 */
export async function planAndEnqueue(trigger: ScheduleTrigger, tick: PlanningTick): Promise<TickOutcome> {
  const { corpus, endpoint, options, store, queue, redis, awaitEndpoint, onNotice } = tick
  const planned = await planCorpus(corpus, endpoint, options, {
    output: store,
    redis,
    awaitEndpoint,
    onNotice,
  })
  await using _announced = planned.announcement
  const newest = await newestPlan(store)
  const { head } = planned
  const unchanged =
    (trigger === 'model_changed' && head.spaceId === newest?.spaceId) ||
    (trigger === 'source_changed' && head.snapshotSha256 === newest?.snapshotSha256)
  if (unchanged && newest) return { status: 'unchanged', run: newest.run }
  const { plan, manifest } = await submitRun(store, queue, planned)
  return { status: manifest ? 'already_finished' : 'planned', run: plan.run }
}
