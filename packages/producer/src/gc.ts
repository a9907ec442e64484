// GC: which runs nobody needs any more, and how they go. Only ever by command, and in an order in which it may be
// stopped at any moment, stand still for as long as it likes, and meet others that do the same:
//
//   the word 'removed' | looked at again | the word that it is erased | manifest | shards and all else | plan
//
// From the first word on no planner, worker, sweep or rollback touches the run. Until the second one it may be spared,
// by whoever finds that it is needed; that word is only said if nobody has said anything since the first. The words stay
// for good: the run can only go, and what is made anew has another id. So whoever erases need not look again.

import { type NumberedWord, readRunWord, sayNext } from '@reembed/protocol'
import { batched, controlKey, manifestKey, mapConcurrent, planKey } from '@reembed/shared'
import type { Eraser, ListedObject, Store } from '@reembed/store'
import {
  besideWords,
  judgeRuns,
  type KeepRules,
  lastNeededMs,
  leftovers,
  type RunVerdict,
  youth,
} from './gc-judge.ts'

export interface KeptRun {
  readonly run: string
  /** Why, in words. */
  readonly why: string
}

export interface RemovableRun {
  readonly run: string
  readonly why: string
  readonly objects: number
  readonly bytes: number
}

export interface Garbage {
  /** Newest first. */
  readonly kept: readonly KeptRun[]
  readonly removable: readonly RemovableRun[]
}

const ERASED_AT_ONCE = 16
/** Each look at all runs takes some requests a run; until it is settled, nobody can go back to what is marked. */
const RUNS_AT_A_LOOK = 64

/** What may go of an output and what may not. Writes nothing. */
export async function findGarbage(store: Store, rules: KeepRules, signal?: AbortSignal): Promise<Garbage> {
  const kept: KeptRun[] = []
  const removable: RemovableRun[] = []
  const verdicts = await judgeRuns(store, rules, signal)
  const named = rules.run === undefined ? verdicts : [...verdicts].filter(([run]) => run === rules.run)
  for (const [run, { needed, begun, why, neededMs }] of named) {
    const objects = needed ? [] : await objectsOf(store, run, signal)
    const young = needed || begun ? undefined : youth(lastNeededMs(objects, neededMs), rules)
    if (needed || young) kept.push({ run, why: young ? `${why}, ${young}` : why })
    else removable.push({ run, why, ...sizeOf(besideWords(objects, run)) })
  }
  for await (const { run, why, objects } of leftovers(store, verdicts, rules, signal)) {
    removable.push({ run, why, ...sizeOf(objects) })
  }
  return { kept, removable }
}

/**
 * Removes the runs that nobody needs (still). May be called again after it was stopped half-way.
 * @returns of each, when it is settled, whether it went; else it was spared, since it is needed after all
 */
export async function* removeRuns(
  store: Store,
  eraser: Eraser,
  runs: Iterable<string>,
  { signal, ...rules }: KeepRules & { readonly signal?: AbortSignal | undefined },
): AsyncGenerator<{ readonly run: string; readonly removed: boolean }, void, undefined> {
  for await (const group of batched(runs, RUNS_AT_A_LOOK)) {
    const marks = new Map<string, NumberedWord>()
    for (const run of group) {
      const mark = await markRemoved(store, run)
      if (mark) marks.set(run, mark)
    }
    const open = [...marks.values()].some(({ erasing }) => !erasing)
    const verdicts = open ? await judgeRuns(store, rules, signal) : undefined
    for (const run of group) {
      const mark = marks.get(run)
      const removed =
        mark !== undefined &&
        (mark.erasing === true || (await giveUp(store, run, mark, verdicts?.get(run), rules, signal)))
      if (removed) await eraseRun(store, eraser, run, signal)
      yield { run, removed }
    }
  }
}

async function eraseRun(
  store: Store,
  eraser: Eraser,
  run: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const keys = besideWords(await objectsOf(store, run, signal), run).map(({ key }) => key)
  const heads = [manifestKey(run), planKey(run)]
  // Who reads without asking finds no manifest of shards that are gone; the plan tells `ls` and gc till the end.
  const steps = [
    keys.filter(key => key === manifestKey(run)),
    keys.filter(key => !heads.includes(key)),
    keys.filter(key => key === planKey(run)),
  ]
  for (const step of steps) {
    const erased = mapConcurrent(step, (key, stop) => eraser.erase(key, { signal: stop }), {
      limit: ERASED_AT_ONCE,
      signal,
    })
    for await (const _ of erased);
  }
}

/** Takes the mark from a run that stays: a gc was stopped before it had looked again. */
export async function spareRun(store: Store, run: string): Promise<void> {
  const mark = await readRunWord(store, run)
  if (mark.state === 'removed' && !mark.erasing) await spare(store, run, mark)
}

async function spare(
  store: Store,
  run: string,
  { before = 'running', ...mark }: NumberedWord,
): Promise<void> {
  await sayNext(store, run, mark, { ...mark, state: before })
}

async function markRemoved(store: Store, run: string): Promise<NumberedWord | undefined> {
  const word = await readRunWord(store, run)
  if (word.state === 'removed') return word
  return sayNext(store, run, word, { ...word, state: 'removed', before: word.state })
}

/**
 * Says that the run is given up, or spares it: then false.
 * @param verdict since nobody begins anything with it any more; none, where all that is there was left behind
 */
async function giveUp(
  store: Store,
  run: string,
  mark: NumberedWord,
  verdict: RunVerdict | undefined,
  rules: KeepRules,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const objects = await objectsOf(store, run, signal)
  const others = objects.filter(({ key }) => key !== controlKey(run, mark.number))
  if (verdict?.needed || youth(lastNeededMs(others, verdict?.neededMs), rules)) {
    await spare(store, run, mark)
    return false
  }
  const said = await sayNext(store, run, mark, { ...mark, erasing: true })
  return said !== undefined || (await readRunWord(store, run)).erasing === true
}

const objectsOf = (store: Store, run: string, signal: AbortSignal | undefined): Promise<ListedObject[]> =>
  Array.fromAsync(store.list(`runs/${run}/`, { signal }))

const sizeOf = (objects: readonly ListedObject[]): { objects: number; bytes: number } => ({
  objects: objects.length,
  bytes: objects.reduce((sum, { size }) => sum + size, 0),
})
