// Writes a planned run into the output, once. Two producers with the same request get the same run
// id, write the same bytes, and whoever comes second reads what the first one wrote.

import {
  type Plan,
  readPlan,
  readRunState,
  refuseDeleted,
  replacementIdOf,
  requirePlan,
  type Slice,
  slicesPerSegment,
  takeSeq,
} from '@reembed/protocol'
import { batched, mapConcurrent, planKey, planSegmentKey } from '@reembed/shared'
import { putJson, putRows, type Store } from '@reembed/store'

/** A run as planned, before it has its place in the order of runs. */
export interface PlannedRun {
  readonly head: Omit<Plan, 'seq' | 'slicesPerSegment'>
  /** All slices in shard order, made anew on every call. */
  slices(): AsyncIterable<Slice>
}

const SEGMENTS_AT_ONCE = 8

/** What an output has of a run. */
export interface RunLookup {
  /** The id that it goes by there. */
  readonly run: string
  /** If it was recorded before. */
  readonly plan?: Plan | undefined
}

/** What was removed is made again as another run: the first id from `run` on that was not. */
export async function lookUpRun(store: Store, run: string): Promise<RunLookup> {
  let id = run
  while ((await readRunState(store, id)) === 'deleted') id = replacementIdOf(id)
  return { run: id, plan: await readPlan(store, id) }
}

/**
 * The run's plan in the store: the one that is there, or this one. Slices are written before the
 * head.
 * @throws ReembedError RUN_STOPPED when gc deletes the run, or what an earlier planning left of it.
 */
export async function recordPlan(
  store: Store,
  planned: PlannedRun,
): Promise<{ plan: Plan; created: boolean }> {
  const { run } = planned.head
  const existing = await readPlan(store, run)
  const created = existing ? undefined : await putPlan(store, planned)
  const plan = created ?? existing ?? (await readPlan(store, run))
  // Who removes runs says so first, looks for a plan then and erases it last: one of the two sees
  // the other.
  await refuseDeleted(store, run, 'RUN_STOPPED')
  return { plan: plan ?? (await requirePlan(store, run)), created: created !== undefined }
}

/** Undefined if somebody else was first. */
async function putPlan(store: Store, planned: PlannedRun): Promise<Plan | undefined> {
  const { run, shards, objects } = planned.head
  const size = slicesPerSegment(shards, objects)
  await putSegments(store, planned, size)
  const plan: Plan = { ...planned.head, slicesPerSegment: size, seq: await takeSeq(store, run) }
  return (await putJson(store, planKey(run), plan)) === 'created' ? plan : undefined
}

async function putSegments(store: Store, { head, slices }: PlannedRun, size: number): Promise<void> {
  let segment = 0
  const segments = mapConcurrent(
    batched(slices(), size),
    rows => putRows(store, planSegmentKey(head.run, segment++), rows),
    { concurrency: SEGMENTS_AT_ONCE },
  )
  for await (const _written of segments);
}
