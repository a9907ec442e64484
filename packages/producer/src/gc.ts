// GC: deletes the runs that are no longer needed, in two phases. Only the gc command deletes. A gc
// may be killed at any step, may pause for any time, and may run concurrently with other gc
// processes:
//
//   record 'deleting' | check again | record 'deleted' | manifest | shards and all else | plan
//
// From the record 'deleting' on, no planner, worker, sweeper or rollback uses the run. Until the
// record 'deleted', any gc that finds the run needed cancels the deletion. 'deleted' is
// put-if-absent on the number after gc's own record: it fails if another process changed the state
// in between. 'deleted' is final, and its record stays as a tombstone: the same plan, made again,
// gets another run id. So a gc that deletes the objects of such a run need not check again.

import {
  appendRunState,
  isDeletion,
  type NumberedRunState,
  readRunState,
  readRunStateRecord,
} from '@reembed/protocol'
import { batched, manifestKey, mapConcurrent, planKey, runStateKey } from '@reembed/shared'
import type { ListedObject, ObjectDeleter, Store } from '@reembed/store'
import {
  decideRetention,
  lastReferencedMs,
  orphanedRuns,
  type RetentionDecision,
  type RetentionPolicy,
  tooRecentReason,
  withoutStateRecords,
} from './retention.ts'

export interface KeptRun {
  readonly run: string
  readonly reason: string
}

export interface DeletableRun {
  readonly run: string
  readonly reason: string
  readonly objects: number
  readonly bytes: number
}

export interface Garbage {
  /** Newest first. */
  readonly kept: readonly KeptRun[]
  readonly deletable: readonly DeletableRun[]
}

const DELETES_AT_ONCE = 16
/**
 * Runs that are marked before one check of all runs, which takes some requests a run. Marked runs
 * cannot be rolled back to until the check ends, so a group is small.
 */
const RUNS_PER_CHECK = 64

/** Lists the runs of an output that gc may delete and those that it keeps. Writes nothing. */
export async function findGarbage(
  store: Store,
  rules: RetentionPolicy,
  signal?: AbortSignal,
): Promise<Garbage> {
  const kept: KeptRun[] = []
  const deletable: DeletableRun[] = []
  const decisions = await decideRetention(store, rules, signal)
  const named = rules.run === undefined ? decisions : [...decisions].filter(([run]) => run === rules.run)
  for (const [run, { retained, deletionCommitted, reason, replacedMs }] of named) {
    const objects = retained ? [] : await objectsOf(store, run, signal)
    const young =
      retained || deletionCommitted
        ? undefined
        : tooRecentReason(lastReferencedMs(objects, replacedMs), rules)
    if (retained || young) kept.push({ run, reason: young ? `${reason}, ${young}` : reason })
    else deletable.push({ run, reason, ...sizeOf(withoutStateRecords(objects, run)) })
  }
  for await (const { run, reason, objects } of orphanedRuns(store, decisions, rules, signal)) {
    deletable.push({ run, reason, ...sizeOf(objects) })
  }
  return { kept, deletable }
}

/**
 * Deletes those of the given runs that are still not needed. Idempotent: a second call completes a
 * deletion that was interrupted.
 * @returns one entry a run; `deleted` is false when the run turned out to be needed and stays
 */
export async function* deleteRuns(
  store: Store,
  deleter: ObjectDeleter,
  runs: Iterable<string>,
  { signal, ...rules }: RetentionPolicy & { readonly signal?: AbortSignal | undefined },
): AsyncGenerator<{ readonly run: string; readonly deleted: boolean }, void, undefined> {
  for await (const group of batched(runs, RUNS_PER_CHECK)) {
    const marks = new Map<string, NumberedRunState>()
    for (const run of group) {
      const mark = await recorded(deleter, () => markDeleting(store, run))
      if (mark) marks.set(run, mark)
    }
    const open = [...marks.values()].some(({ state }) => state !== 'deleted')
    const decisions = open ? await decideRetention(store, rules, signal) : undefined
    for (const run of group) {
      const mark = marks.get(run)
      const deleted =
        mark !== undefined &&
        (mark.state === 'deleted' ||
          (await recorded(deleter, () =>
            commitDeletion(store, run, mark, decisions?.get(run), rules, signal),
          )))
      if (deleted) await deleteObjects(store, deleter, run, signal)
      yield { run, deleted }
    }
  }
}

/** Writes a record of a deletion, on a full disk with the space that is kept for it. */
async function recorded<T>(deleter: ObjectDeleter, write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (error) {
    if (await deleter.makeRoom?.(error)) return write()
    throw error
  }
}

async function deleteObjects(
  store: Store,
  deleter: ObjectDeleter,
  run: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const keys = withoutStateRecords(await objectsOf(store, run, signal), run).map(({ key }) => key)
  const heads = [manifestKey(run), planKey(run)]
  // The manifest first: a reader that does not check the state must find no manifest of deleted
  // shards. The plan last: listings and gc find the run by it until the end.
  const steps = [
    keys.filter(key => key === manifestKey(run)),
    keys.filter(key => !heads.includes(key)),
    keys.filter(key => key === planKey(run)),
  ]
  for (const step of steps) {
    const deletes = mapConcurrent(step, (key, stop) => deleter.delete(key, { signal: stop }), {
      concurrency: DELETES_AT_ONCE,
      signal,
    })
    for await (const _ of deletes);
  }
}

/**
 * Cancels the deletion of a run that a gc marked 'deleting' before it was interrupted. No effect in
 * any other state.
 */
export async function cancelRunDeletion(store: Store, run: string): Promise<void> {
  const mark = await readRunStateRecord(store, run)
  if (mark.state === 'deleting') await cancelDeletion(store, run, mark)
}

async function cancelDeletion(
  store: Store,
  run: string,
  { previousState = 'running', ...mark }: NumberedRunState,
): Promise<void> {
  await appendRunState(store, run, mark, { ...mark, state: previousState, by: 'gc' })
}

async function markDeleting(store: Store, run: string): Promise<NumberedRunState | undefined> {
  const record = await readRunStateRecord(store, run)
  if (isDeletion(record.state)) return record
  return appendRunState(store, run, record, {
    ...record,
    state: 'deleting',
    previousState: record.state,
    by: 'gc',
  })
}

/**
 * Records 'deleted'; or, if the run is needed, cancels the deletion and returns false.
 * @param decision made after the mark, so that no process can start to use the run afterwards;
 * undefined for an orphan, which has no plan
 */
async function commitDeletion(
  store: Store,
  run: string,
  mark: NumberedRunState,
  decision: RetentionDecision | undefined,
  rules: RetentionPolicy,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const objects = await objectsOf(store, run, signal)
  const others = objects.filter(({ key }) => key !== runStateKey(run, mark.number))
  if (decision?.retained || tooRecentReason(lastReferencedMs(others, decision?.replacedMs), rules)) {
    await cancelDeletion(store, run, mark)
    return false
  }
  const committed = await appendRunState(store, run, mark, { ...mark, state: 'deleted', by: 'gc' })
  return committed !== undefined || (await readRunState(store, run)) === 'deleted'
}

const objectsOf = (store: Store, run: string, signal: AbortSignal | undefined): Promise<ListedObject[]> =>
  Array.fromAsync(store.list(`runs/${run}/`, { signal }))

const sizeOf = (objects: readonly ListedObject[]): { objects: number; bytes: number } => ({
  objects: objects.length,
  bytes: objects.reduce((sum, { size }) => sum + size, 0),
})
