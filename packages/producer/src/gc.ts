// GC: which runs nobody needs any more, and how they go. Only ever by command, and in an order in which it may be
// stopped at any moment, stand still for as long as it likes, and meet others that do the same:
//
//   the word 'removed' | looked at again | the word that it is erased | manifest | shards | plan
//
// From the first word on no planner, worker, sweep or rollback touches the run. Until the second one it may be spared,
// by whoever finds that it is needed; that word is only said if nobody has said anything since the first. It stays for
// good: the run can only go, and what is made anew has another id. So whoever erases need not look again.

import {
  controlKey,
  type Eraser,
  type ListedObject,
  manifestKey,
  mapConcurrent,
  type NumberedWord,
  planKey,
  readRunWord,
  type Store,
  sayNext,
} from '@reembed/shared'
import { exceptLastWord, judgeRuns, type KeepRules, lastNeededMs, leftovers, youth } from './gc-judge.ts'

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
    else removable.push({ run, why, ...sizeOf(begun ? exceptLastWord(objects, run) : objects) })
  }
  for await (const { run, why, objects } of leftovers(store, verdicts, rules, signal)) {
    removable.push({ run, why, ...sizeOf(objects) })
  }
  return { kept, removable }
}

/**
 * Removes one run, if nobody needs it (still). May be called again after it was stopped half-way.
 * @returns false if it was spared, since it is needed after all
 */
export async function removeRun(
  store: Store,
  eraser: Eraser,
  run: string,
  { signal, ...rules }: KeepRules & { readonly signal?: AbortSignal | undefined },
): Promise<boolean> {
  const mark = await markRemoved(store, run)
  const erasing = mark?.erasing ? mark : mark && (await decide(store, run, mark, rules, signal))
  if (erasing === undefined) return false
  const lastWord = controlKey(run, erasing.number)
  const keys = (await objectsOf(store, run, signal)).map(({ key }) => key).filter(key => key !== lastWord)
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
  return true
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

/** Looks again, now that nobody else begins anything with the run. Undefined if it stays. */
async function decide(
  store: Store,
  run: string,
  mark: NumberedWord,
  rules: KeepRules,
  signal: AbortSignal | undefined,
): Promise<NumberedWord | undefined> {
  const objects = await objectsOf(store, run, signal)
  // None, where it only left something behind.
  const verdict = (await judgeRuns(store, rules, signal)).get(run)
  const others = objects.filter(({ key }) => key !== controlKey(run, mark.number))
  if (verdict?.needed || youth(lastNeededMs(others, verdict?.neededMs), rules)) {
    await spare(store, run, mark)
    return undefined
  }
  const said =
    (await sayNext(store, run, mark, { ...mark, erasing: true })) ?? (await readRunWord(store, run))
  return said.erasing ? said : undefined
}

const objectsOf = (store: Store, run: string, signal: AbortSignal | undefined): Promise<ListedObject[]> =>
  Array.fromAsync(store.list(`runs/${run}/`, { signal }))

const sizeOf = (objects: readonly ListedObject[]): { objects: number; bytes: number } => ({
  objects: objects.length,
  bytes: objects.reduce((sum, { size }) => sum + size, 0),
})
