// Reads the status of the runs of an output.

import { setTimeout as wait } from 'node:timers/promises'
import { findRun, newestPlan } from '@reembed/planner'
import { readPlannedMs, requirePlan } from '@reembed/protocol'
import type { Store } from '@reembed/store'
import { describeRun, type RunStatus } from './describe.ts'
import { createFactsReader, type QueueView } from './facts.ts'
import { readLoads } from './loads.ts'
import { type PlanningStatus, readPlanningStatus } from './planning.ts'

/**
 * Describes a run by the store, and by Redis if `queue` is given.
 * @param queue a text: why Redis does not answer
 * @throws ReembedError RUN_NOT_FOUND
 */
export async function readRunStatus(
  store: Store,
  queue: QueueView | string | undefined,
  run: string,
): Promise<RunStatus> {
  const { seq } = await requirePlan(store, run)
  const plannedMs = await readPlannedMs(store, seq)
  const facts = await createFactsReader(store, queue).one({ run, seq, plannedMs })
  const status = describeRun(facts, Date.now())
  return facts.manifest ? { ...status, loads: await readLoads(store, queue, facts.manifest) } : status
}

/** Reads the statuses of the newest runs of an output, newest first. */
export type RunsReader = (limit: number) => Promise<RunStatus[]>

/** Plans and manifests, which never change, are read once per reader. */
export function createRunsReader(store: Store, queue?: QueueView | string): RunsReader {
  const reader = createFactsReader(store, queue)
  return async limit => (await reader.newest(limit)).map(facts => describeRun(facts, Date.now()))
}

const WATCH_MS = 2_000
/** A run leaves these states only by a decision of a person, or never. */
const FINAL = /^(held|published|replaced|superseded|cancelled|failed|deleted)$/

/** The status of a run, with the runs that are being planned for its output. */
export interface OutputStatus {
  /** Undefined while the first run of the output is being planned. */
  readonly run: RunStatus | undefined
  /** Read only if the caller names no run. */
  readonly planning: readonly PlanningStatus[]
}

/**
 * Describes the run that `name` names, see `findRun`; without a name the newest run, and the runs
 * that are being planned.
 * @throws ReembedError RUN_NOT_FOUND
 */
export async function readOutputStatus(
  store: Store,
  queue: QueueView | string | undefined,
  name: string | undefined,
): Promise<OutputStatus> {
  // Before the runs: a planner removes its entry after it has recorded the plan.
  const planning = name === undefined ? await readPlanningStatus(store, queue) : []
  if (planning.length > 0 && (await newestPlan(store)) === undefined) return { run: undefined, planning }
  const run = await findRun(store, name, 'newest')
  return { run: await readRunStatus(store, queue, run), planning }
}

/**
 * Yields the status every two seconds, until the run is in a state that it does not leave by
 * itself. Without a name it awaits the end of planning, and then watches the newest run.
 * @throws the signal's reason; ReembedError RUN_NOT_FOUND
 */
export async function* watchOutput(
  store: Store,
  queue: QueueView | string | undefined,
  name: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<OutputStatus, void, undefined> {
  let watched = name
  while (true) {
    const status = await readOutputStatus(store, queue, watched)
    yield status
    if (status.planning.length === 0) {
      watched = status.run?.run
      if (FINAL.test(status.run?.state ?? '')) return
    }
    await wait(WATCH_MS, undefined, { signal })
  }
}
