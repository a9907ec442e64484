// A run waits for its model: when the model is deployed again, the run continues by itself. If a
// newer run of another model is finished but held, the model may never return and nothing
// supersedes the run, so its jobs would keep workers and the GPUs that they wake. Such a run is
// paused; an operator deploys its model and resumes it, or cancels it.

import { shardPrefix } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { readSeq, type SeqEntry } from './history.ts'
import { readManifest } from './manifest.ts'
import { type Plan, readPlan } from './plan.ts'
import type { ModelIdentity } from './receipt.ts'
import { type NumberedRunState, setRunState } from './run-state.ts'

/**
 * Time without a shard. A shorter time would pause a run while workers of its model wait for a cold
 * start, or embed long shards, and a worker of the newer model takes one of its jobs.
 */
const IDLE_MS = 30 * 60_000

/**
 * Pauses a run whose job met another model than that of the run, if a newer run of another model is
 * finished and the run has got no shard for 30 minutes. Returns whether the run is paused now.
 * @param nowMs Unix milliseconds
 */
export async function pauseReplacedModel(
  store: Store,
  plan: Plan,
  record: NumberedRunState,
  nowMs: number,
): Promise<boolean> {
  const entries = await readSeq(store, { after: plan.seq - 1 })
  const plannedMs = entries.find(({ seq }) => seq === plan.seq)?.plannedMs
  const isIdleSince = (ms: number | undefined): boolean => ms !== undefined && nowMs - ms >= IDLE_MS
  // Resuming a run gives it the whole time again.
  const changedMs = record.at === undefined ? plannedMs : Date.parse(record.at)
  if (!isIdleSince(plannedMs) || !isIdleSince(changedMs)) return false
  const newer = await finishedRunOfAnotherModel(store, plan, entries)
  if (newer === undefined) return false
  for await (const { modifiedMs } of store.list(shardPrefix(plan.run)))
    if (!isIdleSince(modifiedMs)) return false
  const model = nameOf(plan.recipe.model)
  await setRunState(store, plan.run, 'paused', {
    modelReplaced: `no worker reached its model ${model} for ${IDLE_MS / 60_000} minutes, and the newer run ${newer.run} of ${nameOf(newer.recipe.model)} is finished: deploy ${model} and resume the run, or cancel it`,
    by: 'worker',
    onlyRunning: true,
  })
  return true
}

async function finishedRunOfAnotherModel(
  store: Store,
  { seq, recipe: { model } }: Plan,
  entries: readonly SeqEntry[],
): Promise<Plan | undefined> {
  for (const entry of entries) {
    if (entry.seq === seq) continue
    const plan = await readPlan(store, entry.run)
    // A rollback records another sequence number than that of the plan.
    if (plan?.seq !== entry.seq || nameOf(plan.recipe.model) === nameOf(model)) continue
    if (await readManifest(store, entry.run)) return plan
  }
  return undefined
}

const nameOf = ({ id, revision }: ModelIdentity): string => `${id}@${revision ?? 'unstated'}`
