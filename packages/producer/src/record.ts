// Writes a planned run into the output, once. Two producers with the same request get the same run id, write the
// same bytes, and whoever comes second reads what the first one wrote.

import {
  batched,
  mapConcurrent,
  type Plan,
  planKey,
  planSegmentKey,
  putJson,
  putRows,
  readPlan,
  requirePlan,
  type Slice,
  type Store,
  slicesPerSegment,
  takeSeq,
} from '@reembed/shared'

/** A run as planned, before it has its place in the order of runs. */
export interface PlannedRun {
  readonly head: Omit<Plan, 'seq' | 'slicesPerSegment'>
  /** All slices in shard order, made anew on every call. */
  slices(): AsyncIterable<Slice>
}

const SEGMENTS_AT_ONCE = 8

/** The run's plan in the store: the one that is there, or this one. Slices are written before the head. */
export async function recordPlan(
  store: Store,
  planned: PlannedRun,
): Promise<{ plan: Plan; created: boolean }> {
  const { run, shards, objects } = planned.head
  const existing = await readPlan(store, run)
  if (existing) return { plan: existing, created: false }
  const size = slicesPerSegment(shards, objects)
  let segment = 0
  const segments = mapConcurrent(
    batched(planned.slices(), size),
    rows => putRows(store, planSegmentKey(run, segment++), rows),
    { limit: SEGMENTS_AT_ONCE },
  )
  for await (const _written of segments);
  const plan: Plan = { ...planned.head, slicesPerSegment: size, seq: await takeSeq(store, run) }
  const outcome = await putJson(store, planKey(run), plan)
  return outcome === 'created'
    ? { plan, created: true }
    : { plan: await requirePlan(store, run), created: false }
}
