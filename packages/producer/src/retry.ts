// Retries the rejects of a finished run: a new run over the same slices, with the finished run as
// its base run. Texts that the model rejected are embedded again; all other vectors are reused.

import { lookUpRun, type PlannedRun } from '@reembed/planner'
import { readCurrent, readSlices, requirePlan, retryIdOf } from '@reembed/protocol'
import { RETRYABLE_REJECTS, requireManifest } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'

/**
 * Plans the retry of a run. Writes nothing.
 * @throws ReembedError RUN_NOT_FOUND when the run is not finished; USAGE when it has no rejects
 * that a retry can embed, or when a newer run is published, which the retry would replace.
 */
export async function planRetry(store: Store, run: string): Promise<PlannedRun> {
  const plan = await requirePlan(store, run)
  const manifest = await requireManifest(store, run)
  const reasons = Object.entries(manifest.rejectReasons)
  if (reasons.length === 0) throw new ReembedError('USAGE', `run ${run} has no rejects`)
  if (!RETRYABLE_REJECTS.some(reason => (manifest.rejectReasons[reason] ?? 0) > 0)) {
    const counted = reasons.map(([reason, times]) => `${reason} ${times}`).join(', ')
    throw new ReembedError(
      'USAGE',
      `the rejects of run ${run} come from the corpus (${counted}): correct them there and plan a new run, which reuses the rest`,
    )
  }
  const current = await readCurrent(store)
  if (current && current.run !== run && current.seq > plan.seq) {
    throw new ReembedError(
      'USAGE',
      `run ${run} is older than version ${current.version}, of run ${current.run}: retry run ${current.run}, which has the newest corpus`,
    )
  }
  const { run: again } = await lookUpRun(store, retryIdOf(run))
  const { seq: _, slicesPerSegment: __, ...head } = plan
  return {
    head: {
      ...head,
      run: again,
      baseRun: run,
      unfinishedBaseRuns: undefined,
      retryOf: run,
      quote: undefined,
    },
    slices: () => readSlices(store, plan),
  }
}
