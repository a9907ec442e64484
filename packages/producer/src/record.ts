// Writes a planned run into the output, once. Two producers with the same request get the same run id, write the
// same bytes, and whoever comes second reads what the first one wrote.

import {
  batched,
  mapConcurrent,
  type Plan,
  planKey,
  planPrefix,
  planSegmentKey,
  putJson,
  putRows,
  ReembedError,
  readPlan,
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

/**
 * The run's plan in the store: the one that is there, or this one. Slices are written before the head.
 * @throws ReembedError RUN_STOPPED while `reembed gc` removes what is left of the run.
 */
export async function recordPlan(
  store: Store,
  planned: PlannedRun,
): Promise<{ plan: Plan; created: boolean }> {
  const { run, shards, objects } = planned.head
  const existing = await readPlan(store, run)
  if (existing) return { plan: await completed(store, existing, planned), created: false }
  const size = slicesPerSegment(shards, objects)
  await putSegments(store, planned, size)
  const plan: Plan = { ...planned.head, slicesPerSegment: size, seq: await takeSeq(store, run) }
  const created = (await putJson(store, planKey(run), plan)) === 'created'
  const recorded = created ? plan : await readPlan(store, run)
  if (recorded) return { plan: await completed(store, recorded, planned), created }
  throw new ReembedError(
    'RUN_STOPPED',
    `what is left of run ${run} in ${store.url} is being removed: \`reembed gc --delete\` ends that, then it can be planned`,
  )
}

async function putSegments(store: Store, { head, slices }: PlannedRun, size: number): Promise<void> {
  let segment = 0
  const segments = mapConcurrent(
    batched(slices(), size),
    rows => putRows(store, planSegmentKey(head.run, segment++), rows),
    { limit: SEGMENTS_AT_ONCE },
  )
  for await (const _written of segments);
}

/**
 * A segment that was there already may have been of an earlier, broken off planning, and been removed by gc before
 * the head was put; after that gc lets them be.
 */
async function completed(store: Store, plan: Plan, planned: PlannedRun): Promise<Plan> {
  let missing = Math.ceil(plan.shards / plan.slicesPerSegment)
  for await (const _segment of store.list(planPrefix(plan.run))) missing -= 1
  if (missing > 0) await putSegments(store, planned, plan.slicesPerSegment)
  return plan
}
