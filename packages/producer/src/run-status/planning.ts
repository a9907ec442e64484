// The status of runs that are being planned. Such a run has no id and no object in the store yet,
// so all that is known is the entry of its planner in Redis.

import { describePlanStep } from '@reembed/planner'
import type { PlanningEntry } from '@reembed/queue'
import type { Store } from '@reembed/store'
import type { QueueView } from './facts.ts'

/** A run that is being planned, beside the `RunStatus` of those that have a plan. */
export interface PlanningStatus {
  /** It has none before its plan is recorded. */
  readonly run: null
  readonly state: 'planning'
  /** One sentence: 'planning for 42 s: counting tokens, 12 of 64 texts'. */
  readonly sentence: string
  /** When planning began, in Unix milliseconds. */
  readonly sinceMs: number
  readonly planner: string
  readonly step: string
  readonly done: number
  /** Undefined where the total is not known. */
  readonly of?: number | undefined
}

/**
 * Describes the runs that are being planned for the output of `store`; none without a queue, and
 * none while Redis does not answer: the status of each unfinished run states that.
 */
export async function readPlanningStatus(
  store: Store,
  queue: QueueView | string | undefined,
): Promise<PlanningStatus[]> {
  if (queue === undefined || typeof queue === 'string') return []
  const entries = await queue.planning(store.url).catch(() => [])
  return entries.map(entry => describePlanning(entry, Date.now()))
}

function describePlanning(entry: PlanningEntry, nowMs: number): PlanningStatus {
  const { planner, step, done, of, endpoint, elapsedMs } = entry
  const waits = endpoint === undefined ? '' : ` (${endpoint})`
  return {
    run: null,
    state: 'planning',
    sentence: `planning for ${elapsed(elapsedMs)}: ${describePlanStep({ step, done, of })}${waits}`,
    sinceMs: nowMs - Math.round(elapsedMs),
    planner,
    step,
    done,
    of,
  }
}

/** '42 s', '3 m 5 s' */
function elapsed(ms: number): string {
  const s = Math.floor(ms / 1000)
  return s < 100 ? `${s} s` : `${Math.floor(s / 60)} m ${s % 60} s`
}
