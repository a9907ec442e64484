// A run is superseded when the current version is of a newer run, or of a rollback after the run
// was planned. Nothing of it would be published, so workers and sweepers give up its jobs. An
// operator can continue it: that is recorded with its state, and holds until the next version.

import type { Store } from '@reembed/store'
import { readCurrent, type Version } from './history.ts'
import type { Plan } from './plan.ts'
import { type RunStateRecord, setRunState } from './run-state.ts'

/** Whether `current` supersedes the run, and no operator has continued the run since. */
export const isSuperseded = (
  plan: Pick<Plan, 'run' | 'seq'>,
  { continuedAfterSeq = 0 }: Pick<RunStateRecord, 'continuedAfterSeq'>,
  current: Version | undefined,
): current is Version => current !== undefined && isNewer(current, plan) && current.seq > continuedAfterSeq

const isNewer = (current: Version, { run, seq }: Pick<Plan, 'run' | 'seq'>): boolean =>
  current.run !== run && current.seq >= seq

/**
 * Records that a running run is continued although a version supersedes it, and returns that
 * version.
 * @throws ReembedError RUN_STOPPED for a run in state `deleting` or `deleted`
 */
export async function continueSuperseded(
  store: Store,
  plan: Pick<Plan, 'run' | 'seq'>,
): Promise<Version | undefined> {
  const current = await readCurrent(store)
  if (current === undefined || !isNewer(current, plan)) return undefined
  await setRunState(store, plan.run, 'running', { continuedAfterSeq: current.seq, onlyRunning: true })
  return current
}
