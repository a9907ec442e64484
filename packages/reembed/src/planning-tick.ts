// What a due tick or a hook does: plan, and enqueue unless nothing of what it waits for has changed.

import {
  enqueueMissing,
  recordPlan,
  type ScheduleTrigger,
  shardsPresent,
  type TickOutcome,
} from '@reembed/producer'
import { type Plan, readManifest, readPlan, readSeq } from '@reembed/protocol'
import type { Queue } from '@reembed/queue'
import type { Store } from '@reembed/store'
import { applyBudget } from './follow.ts'
import { openSource, type ResolvedEndpoint } from './open-resources.ts'
import type { CorpusFlags, OutputFlags, RedisFlags } from './options.ts'
import { planFrom } from './planning.ts'

export type ProducerFlags = CorpusFlags & OutputFlags & RedisFlags

/** Compares with the newest run that was planned here, finished or not. */
export async function planAndEnqueue(
  when: ScheduleTrigger,
  flags: ProducerFlags,
  endpoint: ResolvedEndpoint,
  store: Store,
  queue: Queue,
): Promise<TickOutcome> {
  await using corpus = await openSource(flags)
  const planned = await planFrom(corpus, flags, endpoint, store)
  const newest = await newestPlan(store)
  const { head } = planned
  const unchanged =
    (when === 'model_changed' && head.spaceId === newest?.spaceId) ||
    (when === 'source_changed' && head.snapshotSha256 === newest?.snapshotSha256)
  if (unchanged && newest) return { status: 'unchanged', run: newest.run }
  const { plan } = await recordPlan(store, planned)
  if (await readManifest(store, plan.run)) return { status: 'already_finished', run: plan.run }
  await applyBudget(store, plan.run, planned.budget)
  await queue.removeFailed(plan.run)
  await enqueueMissing(queue, store.url, plan, await shardsPresent(store, plan))
  return { status: 'planned', run: plan.run }
}

async function newestPlan(store: Store): Promise<Plan | undefined> {
  for (const { run, seq } of await readSeq(store)) {
    const plan = await readPlan(store, run)
    if (plan?.seq === seq) return plan
  }
  return undefined
}
