// Reads the status of the runs of an output.

import { setTimeout as wait } from 'node:timers/promises'
import { readPlannedMs, requirePlan } from '@reembed/protocol'
import type { Store } from '@reembed/store'
import { describeRun, type RunStatus } from './describe.ts'
import { createFactsReader, type QueueView } from './facts.ts'

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
  return describeRun(await createFactsReader(store, queue).one({ run, seq, plannedMs }), Date.now())
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

/**
 * Yields the status of a run every two seconds, until it is in a state that it does not leave by
 * itself.
 * @throws the signal's reason; ReembedError RUN_NOT_FOUND
 */
export async function* watchRun(
  store: Store,
  queue: QueueView | string | undefined,
  run: string,
  signal: AbortSignal,
): AsyncGenerator<RunStatus, void, undefined> {
  while (true) {
    const status = await readRunStatus(store, queue, run)
    yield status
    if (FINAL.test(status.state)) return
    await wait(WATCH_MS, undefined, { signal })
  }
}
