// Writes a planned run into the output, once. Two producers with the same request compute the same
// run id and write the same bytes; the second one reads the plan that the first one wrote.

import {
  failRun,
  isCopied,
  type Plan,
  putPlan,
  putSliceSegment,
  readPlan,
  readRunState,
  refuseDeleted,
  replacementIdOf,
  requirePlan,
  type Slice,
  slicesPerSegment,
  takeSeq,
} from '@reembed/protocol'
import { batched, mapConcurrent, ReembedError, tablePrefix } from '@reembed/shared'
import { type Store, storeBelow } from '@reembed/store'
import { blocksOf } from './table-copy.ts'

/** A run as planned, before it has its sequence number. */
export interface PlannedRun {
  readonly head: Omit<Plan, 'seq' | 'slicesPerSegment'>
  /** All slices in shard order, computed again on every call. */
  slices(): AsyncIterable<Slice>
  /** Shows other processes that the run is being planned; `recordPlan` ends it. */
  readonly announcement?: AsyncDisposable | undefined
}

const SEGMENTS_AT_ONCE = 8

/** The recorded form of a planned run in an output. */
export interface RunLookup {
  /** Id of the run in this output. A replacement id if the planned run was deleted. */
  readonly run: string
  /** Set if it was recorded before. */
  readonly plan?: Plan | undefined
}

/** Finds the id for a run: `run`, or the first of its replacement ids that was not deleted. */
export async function lookUpRun(store: Store, run: string): Promise<RunLookup> {
  let id = run
  while ((await readRunState(store, id)) === 'deleted') id = replacementIdOf(id)
  return { run: id, plan: await readPlan(store, id) }
}

/**
 * Records the plan unless the store has it already, and returns the stored plan. Idempotent. Slices
 * are written before the head, so a plan that can be read is complete.
 * @returns `created`: whether this call wrote the plan
 * @throws ReembedError RUN_STOPPED when gc deletes the run or the remains of an earlier attempt.
 */
export async function recordPlan(
  store: Store,
  planned: PlannedRun,
): Promise<{ plan: Plan; created: boolean }> {
  const { run } = planned.head
  // Until the plan exists: without either, a reader would find no run.
  await using _announced = planned.announcement
  const existing = await readPlan(store, run)
  const created = existing ? undefined : await recordHead(store, planned)
  const plan = created ?? existing ?? (await readPlan(store, run))
  // Race with gc: gc records 'deleting', then reads the plan, and deletes it last; a producer
  // writes the plan, then reads the state. So at least one of them observes the other.
  await refuseDeleted(store, run, 'RUN_STOPPED')
  await refuseDeletedBlocks(store, planned, created !== undefined)
  return { plan: plan ?? (await requirePlan(store, run)), created: created !== undefined }
}

/**
 * Refuses a plan of which gc may delete a block of rows. The same race: gc marks a block, then
 * reads the plans, and deletes it if none names it.
 */
async function refuseDeletedBlocks(
  store: Store,
  { head: { run, table }, slices }: PlannedRun,
  isNew: boolean,
): Promise<void> {
  if (!isCopied(table)) return
  const { deleted } = await blocksOf(storeBelow(store, tablePrefix(table.address, table.name)))
  if (deleted.size === 0) return
  for await (const { parts } of slices()) {
    const found = parts.find(({ key }) => deleted.has(key))
    if (found === undefined) continue
    const message = `gc deleted the rows ${found.key} in ${store.url} while run ${run} was planned: repeat the command`
    if (isNew) await failRun(store, run, { code: 'RUN_STOPPED', message }, 'planner')
    throw new ReembedError('RUN_STOPPED', message)
  }
}

/** Undefined if a concurrent producer was first. */
async function recordHead(store: Store, planned: PlannedRun): Promise<Plan | undefined> {
  const { run, shards, objects } = planned.head
  const size = slicesPerSegment(shards, objects)
  await putSegments(store, planned, size)
  const plan: Plan = { ...planned.head, slicesPerSegment: size, seq: await takeSeq(store, run) }
  return (await putPlan(store, plan)) === 'created' ? plan : undefined
}

async function putSegments(store: Store, { head, slices }: PlannedRun, size: number): Promise<void> {
  let segment = 0
  const segments = mapConcurrent(
    batched(slices(), size),
    rows => putSliceSegment(store, head.run, segment++, rows),
    { concurrency: SEGMENTS_AT_ONCE },
  )
  for await (const _written of segments);
}
