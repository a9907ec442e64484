// GC: which runs nobody needs any more, and how they go. Only ever by command, and in an order in which it may be
// stopped at any moment:
//
//   the word 'removed' | manifest | shards | plan | the words about it, 'removed' last of all
//
// From the first word on no worker, sweep or rollback touches the run; until the last one is gone, the next gc goes on.

import {
  controlPrefix,
  type Eraser,
  manifestKey,
  mapConcurrent,
  planKey,
  ReembedError,
  readManifest,
  readPlan,
  readRunState,
  readSeq,
  readVersions,
  type Store,
  setRunState,
  shardPrefix,
} from '@reembed/shared'

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
  readonly kept: readonly KeptRun[]
  readonly removable: readonly RemovableRun[]
}

const ERASED_AT_ONCE = 16
const ERASED_BETWEEN_LOOKS = 256

/**
 * What may go of an output and what may not. Writes nothing.
 * @param keep how many published runs stay, the current one included
 */
export async function findGarbage(store: Store, keep: number, signal?: AbortSignal): Promise<Garbage> {
  const verdicts = await judge(store, keep, signal)
  const removable: RemovableRun[] = []
  for (const [run, { needed, why }] of verdicts) {
    if (!needed) removable.push({ run, why, ...(await sizeOf(store, run, signal)) })
  }
  const kept = [...verdicts].flatMap(([run, { needed, why }]) => (needed ? [{ run, why }] : []))
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
  { keep, signal }: { readonly keep: number; readonly signal?: AbortSignal | undefined },
): Promise<boolean> {
  const before = await setRunState(store, run, 'removed')
  // Said first, then looked again: whoever goes back to this run takes a place in the order and then looks at the word.
  const verdict = (await judge(store, keep, signal)).get(run)
  if (verdict?.needed) {
    await setRunState(store, run, before === 'removed' ? 'cancelled' : before, { spared: true })
    return false
  }
  const prefix = `runs/${run}/`
  const keys = await Array.fromAsync(store.list(prefix, { signal }), ({ key }) => key)
  const isWord = (key: string): boolean => key.startsWith(controlPrefix(run))
  const isPlan = (key: string): boolean => key.startsWith(`${prefix}plan`)
  const isShard = (key: string): boolean => key.startsWith(shardPrefix(run))
  const head = [manifestKey(run), planKey(run)]
  const rest = keys.filter(key => !head.includes(key) && !isWord(key))
  const steps = [
    keys.filter(key => key === manifestKey(run)),
    rest.filter(key => !isPlan(key) && !isShard(key)),
    rest.filter(isShard),
    rest.filter(isPlan),
    keys.filter(key => key === planKey(run)),
  ]
  for (const step of steps) {
    for (let from = 0; from < step.length; from += ERASED_BETWEEN_LOOKS) {
      // Another gc may have spared it while this one stood still, and somebody may have gone back to it since.
      if ((await readRunState(store, run)) !== 'removed') return false
      await eraseAll(eraser, step.slice(from, from + ERASED_BETWEEN_LOOKS), signal)
    }
  }
  // The newest word is the first of a listing, and goes last.
  for (const key of keys.filter(isWord).reverse()) await eraser.erase(key, { signal })
  return true
}

/** Takes the mark from a run that stays: somebody began to remove it, and somebody else began to go back to it. */
export async function spareRun(store: Store, run: string): Promise<void> {
  if ((await readRunState(store, run)) === 'removed')
    await setRunState(store, run, 'running', { spared: true })
}

async function eraseAll(
  eraser: Eraser,
  keys: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const erased = mapConcurrent(keys, (key, stop) => eraser.erase(key, { signal: stop }), {
    limit: ERASED_AT_ONCE,
    signal,
  })
  for await (const _ of erased);
}

interface Verdict {
  readonly needed: boolean
  readonly why: string
}

/** Every run of the output that is planned, or being removed, newest first. */
async function judge(store: Store, keep: number, signal?: AbortSignal): Promise<Map<string, Verdict>> {
  if (!(Number.isSafeInteger(keep) && keep >= 1)) {
    throw new ReembedError('USAGE', `--keep ${keep}: at least the current version is kept`)
  }
  const published = new Map<string, number>()
  let currentSeq = 0
  let current: string | undefined
  for await (const { run, version, seq } of readVersions(store)) {
    current ??= run
    currentSeq = Math.max(currentSeq, seq)
    if (!published.has(run)) published.set(run, version)
  }
  const keptVersions = new Set([...published.keys()].slice(0, keep))
  const newestSeq = new Map<string, number>()
  for (const { run, seq } of await readSeq(store)) if (!newestSeq.has(run)) newestSeq.set(run, seq)

  const verdicts = new Map<string, Verdict>()
  const bases = new Map<string, string>()
  for (const [run, seq] of newestSeq) {
    signal?.throwIfAborted()
    const plan = await readPlan(store, run)
    const state = await readRunState(store, run)
    // A place in the order alone is a run that somebody plans, or that is gone.
    if (plan === undefined && state !== 'removed') continue
    const finished = plan !== undefined && (await readManifest(store, run)) !== undefined
    const version = published.get(run)
    const verdict = ((): Verdict => {
      if (run === current) return { needed: true, why: `version ${version}, current` }
      if (finished && seq > currentSeq) return { needed: true, why: 'finished, not published yet' }
      // Its manifest may be gone already: nobody can have it back.
      if (state === 'removed') return { needed: false, why: 'its removal was begun before' }
      if (keptVersions.has(run)) return { needed: true, why: `version ${version}` }
      if (finished)
        return { needed: false, why: version === undefined ? 'never published' : `version ${version}` }
      if (state === 'cancelled') return { needed: false, why: 'cancelled' }
      if (seq > currentSeq) return { needed: true, why: 'not finished' }
      return { needed: true, why: 'not finished: `reembed cancel` it first' }
    })()
    verdicts.set(run, verdict)
    // Whoever embeds it takes over vectors of its base.
    if (plan?.base !== undefined && !finished && verdict.needed) bases.set(plan.base, run)
  }
  for (const [base, by] of bases) {
    if (verdicts.get(base)?.needed === false) verdicts.set(base, { needed: true, why: `run ${by} reuses it` })
  }
  return verdicts
}

async function sizeOf(
  store: Store,
  run: string,
  signal: AbortSignal | undefined,
): Promise<{ objects: number; bytes: number }> {
  let [objects, bytes] = [0, 0]
  for await (const { size } of store.list(`runs/${run}/`, { signal })) {
    objects += 1
    bytes += size
  }
  return { objects, bytes }
}
