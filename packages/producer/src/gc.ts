// GC: which runs nobody needs any more, and how they go. Only ever by command, and in an order in which it may be
// stopped at any moment, stand still for as long as it likes, and meet others that do the same:
//
//   the word 'removed' | looked at again | the word that it is erased | manifest | shards | plan | the words
//
// From the first word on no worker, sweep or rollback touches the run. Until the second one it may be spared, by
// whoever finds that it is needed; that word is only said if nobody has said anything since the first. After it the
// run can only go, and the next gc goes on where this one stopped.

import {
  controlKey,
  controlPrefix,
  type Eraser,
  type ListedObject,
  manifestKey,
  mapConcurrent,
  type NumberedWord,
  planKey,
  planPrefix,
  putNoPlan,
  readPlan,
  readRunWord,
  type Store,
  sayNext,
  shardPrefix,
} from '@reembed/shared'
import { judgeRuns, type KeepRules, lastNeededMs, leftovers, youth } from './gc-judge.ts'

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
const ERASED_BETWEEN_LOOKS = 256

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
    else removable.push({ run, why, ...sizeOf(objects) })
  }
  for await (const { run, objects } of leftovers(store, verdicts, rules, signal)) {
    removable.push({ run, why: 'left behind without a plan', ...sizeOf(objects) })
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
  const word = await readRunWord(store, run)
  if (!word.erasing && (await readPlan(store, run)) === undefined) {
    return removeLeftovers(store, eraser, run, rules, signal)
  }
  const mark = await markRemoved(store, run, word)
  if (mark === undefined) return false
  const objects = await objectsOf(store, run, signal)
  const erasing = mark.erasing ? mark : await decide(store, run, mark, objects, rules, signal)
  if (erasing === undefined) return false

  const keys = objects.map(({ key }) => key)
  const isHead = (key: string): boolean => key === manifestKey(run) || key === planKey(run)
  const isWord = (key: string): boolean => key.startsWith(controlPrefix(run))
  const isSegment = (key: string): boolean => key.startsWith(planPrefix(run))
  const isShard = (key: string): boolean => key.startsWith(shardPrefix(run))
  const rest = keys.filter(key => !isHead(key) && !isWord(key))
  const steps = [
    keys.filter(key => key === manifestKey(run)),
    rest.filter(key => !isSegment(key) && !isShard(key)),
    rest.filter(isShard),
    rest.filter(isSegment),
    keys.filter(key => key === planKey(run)),
  ]
  // Another gc may have ended it while this one stood still, and somebody may have planned the run anew.
  const isStill = async (): Promise<boolean> => (await readRunWord(store, run)).erasing === true
  if (!(await eraseSteps(eraser, steps, isStill, signal))) return false
  // The newest word is the first of a listing, and goes last.
  const words = keys.filter(key => isWord(key) && key !== controlKey(run, erasing.number))
  for (const key of [...words.reverse(), controlKey(run, erasing.number)]) await eraser.erase(key, { signal })
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

async function markRemoved(store: Store, run: string, word: NumberedWord): Promise<NumberedWord | undefined> {
  if (word.state === 'removed') return word
  return sayNext(store, run, word, { ...word, state: 'removed', before: word.state })
}

/** Looks again, now that nobody else begins anything with the run. Undefined if it stays. */
async function decide(
  store: Store,
  run: string,
  mark: NumberedWord,
  objects: readonly ListedObject[],
  rules: KeepRules,
  signal: AbortSignal | undefined,
): Promise<NumberedWord | undefined> {
  const verdict = (await judgeRuns(store, rules, signal)).get(run)
  const others = objects.filter(({ key }) => key !== controlKey(run, mark.number))
  if (!verdict || verdict.needed || youth(lastNeededMs(others, verdict.neededMs), rules)) {
    await spare(store, run, mark)
    return undefined
  }
  const said =
    (await sayNext(store, run, mark, { ...mark, erasing: true })) ?? (await readRunWord(store, run))
  return said.erasing && said.number > 0 ? said : undefined
}

/** What crashes and those who stood still left of a run that has no plan: nobody can plan it while that goes. */
async function removeLeftovers(
  store: Store,
  eraser: Eraser,
  run: string,
  rules: KeepRules,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const found = await objectsOf(store, run, signal)
  if (youth(lastNeededMs(found.filter(({ key }) => key !== planKey(run))), rules)) return false
  await putNoPlan(store, run)
  const isStill = async (): Promise<boolean> =>
    (await store.head(planKey(run))) !== undefined && (await readPlan(store, run)) === undefined
  const keys = (await objectsOf(store, run, signal)).map(({ key }) => key)
  const steps = [keys.filter(key => key !== planKey(run)), [planKey(run)]]
  return eraseSteps(eraser, steps, isStill, signal)
}

async function eraseSteps(
  eraser: Eraser,
  steps: readonly (readonly string[])[],
  isStill: () => Promise<boolean>,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  for (const step of steps) {
    for (let from = 0; from < step.length; from += ERASED_BETWEEN_LOOKS) {
      if (!(await isStill())) return false
      const keys = step.slice(from, from + ERASED_BETWEEN_LOOKS)
      const erased = mapConcurrent(keys, (key, stop) => eraser.erase(key, { signal: stop }), {
        limit: ERASED_AT_ONCE,
        signal,
      })
      for await (const _ of erased);
    }
  }
  return true
}

const objectsOf = (store: Store, run: string, signal: AbortSignal | undefined): Promise<ListedObject[]> =>
  Array.fromAsync(store.list(`runs/${run}/`, { signal }))

const sizeOf = (objects: readonly ListedObject[]): { objects: number; bytes: number } => ({
  objects: objects.length,
  bytes: objects.reduce((sum, { size }) => sum + size, 0),
})
