// GC: which runs nobody needs any more, and how they go. Only ever by command, and in an order in
// which it may be stopped at any moment, stand still for as long as it likes, and meet others that
// do the same:
//
//   the word 'deleting' | looked at again | the word that it is erased | manifest | shards and all else | plan
//
// From the first word on no planner, worker, sweep or rollback touches the run. Until the second
// one it may be spared, by whoever finds that it is needed; that word is only said if nobody has
// said anything since the first. The words stay for good: the run can only go, and what is made
// anew has another id. So whoever erases need not look again.

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
  /** Why, in words. */
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

const ERASED_AT_ONCE = 16
/**
 * Each look at all runs takes some requests a run; until it is settled, nobody can go back to what
 * is marked.
 */
const RUNS_PER_CHECK = 64

/** What may go of an output and what may not. Writes nothing. */
export async function findGarbage(
  store: Store,
  rules: RetentionPolicy,
  signal?: AbortSignal,
): Promise<Garbage> {
  const kept: KeptRun[] = []
  const deletable: DeletableRun[] = []
  const verdicts = await decideRetention(store, rules, signal)
  const named = rules.run === undefined ? verdicts : [...verdicts].filter(([run]) => run === rules.run)
  for (const [run, { retained, deletionCommitted, reason, replacedMs }] of named) {
    const objects = retained ? [] : await objectsOf(store, run, signal)
    const young =
      retained || deletionCommitted
        ? undefined
        : tooRecentReason(lastReferencedMs(objects, replacedMs), rules)
    if (retained || young) kept.push({ run, reason: young ? `${reason}, ${young}` : reason })
    else deletable.push({ run, reason, ...sizeOf(withoutStateRecords(objects, run)) })
  }
  for await (const { run, reason, objects } of orphanedRuns(store, verdicts, rules, signal)) {
    deletable.push({ run, reason, ...sizeOf(objects) })
  }
  return { kept, deletable }
}

/**
 * Removes the runs that nobody needs (still). May be called again after it was stopped half-way.
 * @returns of each, when it is settled, whether it went; else it was spared, since it is needed
 * after all
 */
export async function* deleteRuns(
  store: Store,
  eraser: ObjectDeleter,
  runs: Iterable<string>,
  { signal, ...rules }: RetentionPolicy & { readonly signal?: AbortSignal | undefined },
): AsyncGenerator<{ readonly run: string; readonly deleted: boolean }, void, undefined> {
  for await (const group of batched(runs, RUNS_PER_CHECK)) {
    const marks = new Map<string, NumberedRunState>()
    for (const run of group) {
      const mark = await markDeleting(store, run)
      if (mark) marks.set(run, mark)
    }
    const open = [...marks.values()].some(({ state }) => state !== 'deleted')
    const verdicts = open ? await decideRetention(store, rules, signal) : undefined
    for (const run of group) {
      const mark = marks.get(run)
      const deleted =
        mark !== undefined &&
        (mark.state === 'deleted' ||
          (await commitDeletion(store, run, mark, verdicts?.get(run), rules, signal)))
      if (deleted) await eraseRun(store, eraser, run, signal)
      yield { run, deleted }
    }
  }
}

async function eraseRun(
  store: Store,
  eraser: ObjectDeleter,
  run: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const keys = withoutStateRecords(await objectsOf(store, run, signal), run).map(({ key }) => key)
  const heads = [manifestKey(run), planKey(run)]
  // Who reads without asking finds no manifest of shards that are gone; the plan tells `ls` and gc
  // till the end.
  const steps = [
    keys.filter(key => key === manifestKey(run)),
    keys.filter(key => !heads.includes(key)),
    keys.filter(key => key === planKey(run)),
  ]
  for (const step of steps) {
    const erased = mapConcurrent(step, (key, stop) => eraser.delete(key, { signal: stop }), {
      concurrency: ERASED_AT_ONCE,
      signal,
    })
    for await (const _ of erased);
  }
}

/** Takes the mark from a run that stays: a gc was stopped before it had looked again. */
export async function cancelRunDeletion(store: Store, run: string): Promise<void> {
  const mark = await readRunStateRecord(store, run)
  if (mark.state === 'deleting') await cancelDeletion(store, run, mark)
}

async function cancelDeletion(
  store: Store,
  run: string,
  { previousState = 'running', ...mark }: NumberedRunState,
): Promise<void> {
  await appendRunState(store, run, mark, { ...mark, state: previousState })
}

async function markDeleting(store: Store, run: string): Promise<NumberedRunState | undefined> {
  const word = await readRunStateRecord(store, run)
  if (isDeletion(word.state)) return word
  return appendRunState(store, run, word, { ...word, state: 'deleting', previousState: word.state })
}

/**
 * Says that the run is given up, or spares it: then false.
 * @param verdict since nobody begins anything with it any more; none, where all that is there was
 * left behind
 */
async function commitDeletion(
  store: Store,
  run: string,
  mark: NumberedRunState,
  verdict: RetentionDecision | undefined,
  rules: RetentionPolicy,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const objects = await objectsOf(store, run, signal)
  const others = objects.filter(({ key }) => key !== runStateKey(run, mark.number))
  if (verdict?.retained || tooRecentReason(lastReferencedMs(others, verdict?.replacedMs), rules)) {
    await cancelDeletion(store, run, mark)
    return false
  }
  const committed = await appendRunState(store, run, mark, { ...mark, state: 'deleted' })
  return committed !== undefined || (await readRunState(store, run)) === 'deleted'
}

const objectsOf = (store: Store, run: string, signal: AbortSignal | undefined): Promise<ListedObject[]> =>
  Array.fromAsync(store.list(`runs/${run}/`, { signal }))

const sizeOf = (objects: readonly ListedObject[]): { objects: number; bytes: number } => ({
  objects: objects.length,
  bytes: objects.reduce((sum, { size }) => sum + size, 0),
})
