// A run is overtaken when the current version is of a newer run, or of a rollback after the run was
// planned. Nothing of it would be published, so workers and sweepers give up its jobs. An operator
// can continue it: that is recorded with its state, and holds until the next version.

import type { Store } from '@reembed/store'
import { readCurrent, type Version } from './history.ts'
import type { Plan } from './plan.ts'
import { type RunStateRecord, setRunState } from './run-state.ts'

/** Whether `current` has overtaken the run, and no operator has continued the run since. */
export const isOvertaken = (
  plan: Pick<Plan, 'run' | 'seq'>,
  { continuedAfterSeq = 0 }: Pick<RunStateRecord, 'continuedAfterSeq'>,
  current: Version | undefined,
): current is Version =>
  current !== undefined && isSuperseded(plan, current) && current.seq > continuedAfterSeq

const isSuperseded = ({ run, seq }: Pick<Plan, 'run' | 'seq'>, current: Version): boolean =>
  current.run !== run && current.seq >= seq

/**
 * Records that a running run is continued although a version has overtaken it, and returns that
 * version.
 * @throws ReembedError RUN_STOPPED for a run in state `deleting` or `deleted`
 */
export async function continueOvertaken(
  store: Store,
  plan: Pick<Plan, 'run' | 'seq'>,
): Promise<Version | undefined> {
  const current = await readCurrent(store)
  if (current === undefined || !isSuperseded(plan, current)) return undefined
  await setRunState(store, plan.run, 'running', { continuedAfterSeq: current.seq, onlyRunning: true })
  return current
}
