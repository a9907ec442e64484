// The rejects of a finished run once more: a run of its own over the same slices, with the other as
// its base. What the model refused is embedded again, all else is taken over.

import { readCurrent, readManifest, readSlices, requirePlan, retryIdOf } from '@reembed/protocol'
import { RETRYABLE_REJECTS } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { lookUpRun, type PlannedRun } from './record.ts'

/**
 * Plans it; writes nothing.
 * @throws ReembedError RUN_NOT_FOUND when the run is not finished; USAGE when it has no rejects
 * that another try can mend, or when a newer run is published, which this one would replace.
 */
export async function planRetry(store: Store, run: string): Promise<PlannedRun> {
  const plan = await requirePlan(store, run)
  const manifest = await readManifest(store, run)
  if (!manifest) {
    throw new ReembedError('RUN_NOT_FOUND', `run ${run} in ${store.url} is not finished`, {
      reason: 'run_not_finished',
    })
  }
  const reasons = Object.entries(manifest.rejectReasons)
  if (reasons.length === 0) throw new ReembedError('USAGE', `run ${run} has no rejects`)
  if (!RETRYABLE_REJECTS.some(reason => (manifest.rejectReasons[reason] ?? 0) > 0)) {
    const counted = reasons.map(([reason, times]) => `${reason} ${times}`).join(', ')
    throw new ReembedError(
      'USAGE',
      `the rejects of run ${run} come from the corpus (${counted}): correct it there, then a new run embeds them and reuses the rest`,
    )
  }
  const current = await readCurrent(store)
  if (current && current.run !== run && current.seq > plan.seq) {
    throw new ReembedError(
      'USAGE',
      `run ${run} is older than version ${current.version}, of run ${current.run}: its corpus is not the newest, so retry that one`,
    )
  }
  const { run: again } = await lookUpRun(store, retryIdOf(run))
  const { seq: _, slicesPerSegment: __, ...head } = plan
  return {
    head: { ...head, run: again, baseRun: run, retryOf: run, quote: undefined },
    slices: () => readSlices(store, plan),
  }
}
