// Pauses, cancels and resumes a run by records of its state; workers and sweepers read them.

import { budgetOf, type SpendingOptions } from '@reembed/planner'
import {
  type Actor,
  continueSuperseded,
  readManifest,
  readRunStateRecord,
  readVersions,
  requirePlan,
  setRunState,
} from '@reembed/protocol'
import type { Queue } from '@reembed/queue'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { enqueueRun } from './submit.ts'

/**
 * Workers start no more jobs of the run; in-flight jobs finish. Sweepers skip it until it is
 * resumed. A finished run that was never published can be cancelled: no sweep publishes it then.
 * @throws ReembedError USAGE for another finished run
 */
export async function stopRun(
  store: Store,
  run: string,
  state: 'paused' | 'cancelled',
  actor?: Actor,
): Promise<void> {
  const isFinished = async (): Promise<boolean> => (await readManifest(store, run)) !== undefined
  if ((await isFinished()) && (state !== 'cancelled' || (await versionOf(store, run)) !== undefined)) {
    throw new ReembedError('USAGE', `run ${run} is finished: there is nothing to stop`, {
      reason: 'run_finished',
    })
  }
  const before = await setRunState(store, run, state, actor)
  // A publisher that read the state before this record may have put its version since.
  const published = (await isFinished()) ? await versionOf(store, run) : undefined
  if (published === undefined) return
  await setRunState(store, run, before, { by: actor?.by, reason: `published as version ${published}` })
  throw new ReembedError(
    'USAGE',
    `run ${run} was published as version ${published} meanwhile: there is nothing to stop`,
    { reason: 'run_finished' },
  )
}

/** The newest version that published the run. */
async function versionOf(store: Store, run: string): Promise<number | undefined> {
  for await (const version of readVersions(store)) if (version.run === run) return version.version
  return undefined
}

export interface ResumeOptions {
  /**
   * Replaces the run's budget; by default it keeps the one that it has. The price defaults to that
   * of its quote.
   */
  readonly spending?: SpendingOptions | undefined
  /** Enqueues missing shards at once; without it, the next sweep does. */
  readonly queue?: Queue | undefined
  /** Recorded with the state. */
  readonly actor?: Actor | undefined
}

/**
 * Lets a paused, cancelled or failed run continue.
 * @returns the jobs put on the queue; undefined without a queue
 * @throws ReembedError USAGE for a run that has used up its budget and gets no other; RUN_STOPPED
 * for a deleted one.
 */
export async function resumeRun(
  store: Store,
  run: string,
  { spending = {}, queue, actor }: ResumeOptions = {},
): Promise<number | undefined> {
  const plan = await requirePlan(store, run)
  const price = spending.pricePerHour
    ? { perHour: spending.pricePerHour, replicas: spending.replicas ?? 1 }
    : (plan.quote?.price ?? undefined)
  const given = budgetOf(spending, price)
  const budget = Object.keys(given).length > 0 ? given : undefined
  const { budgetExceeded } = await readRunStateRecord(store, run)
  if (budgetExceeded !== undefined && budget === undefined) {
    throw new ReembedError('USAGE', `run ${run}: ${budgetExceeded}: raise the budget to resume it`, {
      reason: 'budget_exceeded',
    })
  }
  await setRunState(store, run, 'running', { budget, ...actor })
  await continueSuperseded(store, plan)
  if (!queue) return undefined
  return (await enqueueRun(store, queue, { plan, manifest: undefined })).enqueued
}
