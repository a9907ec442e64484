// Which runs of an output are needed, and since when the others are not.

import {
  readManifest,
  readPlan,
  readRunState,
  readRunStateRecord,
  readSeq,
  readVersions,
} from '@reembed/protocol'
import { isRunId, ReembedError, runStatePrefix } from '@reembed/shared'
import type { ListedObject, Store } from '@reembed/store'

export interface RetentionPolicy {
  /** How many published runs stay, the current one included. */
  readonly keep: number
  /** What was written or replaced since then stays; nothing does for its age with Infinity. */
  readonly beforeMs: number
  /** A run that somebody wants gone, named by its id: it alone, and however young. */
  readonly run?: string | undefined
}

export interface RetentionDecision {
  readonly retained: boolean
  readonly reason: string
  /** Its removal was begun and can't be taken back. */
  readonly deletionCommitted: boolean
  /** Until when it was the current version, if it was one. */
  readonly replacedMs: number | undefined
}

const DELETION_COMMITTED = 'its removal was begun before'

/** Every run of the output that has a plan, newest first. */
export async function decideRetention(
  store: Store,
  { keep }: Pick<RetentionPolicy, 'keep'>,
  signal?: AbortSignal,
): Promise<Map<string, RetentionDecision>> {
  if (!(Number.isSafeInteger(keep) && keep >= 1)) {
    throw new ReembedError('USAGE', `cannot keep ${keep} versions: at least the current one is kept`, {
      option: 'keep',
    })
  }
  const published = new Map<string, { version: number; replacedMs: number | undefined }>()
  let currentSeq = 0
  let current: string | undefined
  let nextMs: number | undefined
  for await (const { run, version, seq, publishedMs = Number.POSITIVE_INFINITY } of readVersions(store)) {
    current ??= run
    currentSeq = Math.max(currentSeq, seq)
    if (!published.has(run)) published.set(run, { version, replacedMs: nextMs })
    nextMs = publishedMs
  }
  const keptVersions = new Set([...published.keys()].slice(0, keep))
  const newestSeq = new Map<string, number>()
  for (const { run, seq } of await readSeq(store)) if (!newestSeq.has(run)) newestSeq.set(run, seq)

  const verdicts = new Map<string, RetentionDecision>()
  const bases = new Map<string, string>()
  for (const [run, seq] of newestSeq) {
    signal?.throwIfAborted()
    const plan = await readPlan(store, run)
    // A place in the order alone is a run that somebody plans, or that is gone.
    if (plan === undefined) continue
    // Before the word: where another gc has erased the manifest by now, the word says so.
    const finished = (await readManifest(store, run)) !== undefined
    const word = await readRunStateRecord(store, run)
    const deletionCommitted = word.state === 'deleted'
    // The mark of a gc that has not looked again yet says nothing.
    const state = word.state === 'deleting' ? word.previousState : word.state
    const { version, replacedMs } = published.get(run) ?? {}
    const [retained, reason] = ((): [boolean, string] => {
      if (deletionCommitted) return [false, DELETION_COMMITTED]
      if (run === current) return [true, `version ${version}, current`]
      if (finished && seq > currentSeq) return [true, 'finished, not published yet']
      if (keptVersions.has(run)) return [true, `version ${version}`]
      if (finished) return [false, version === undefined ? 'never published' : `version ${version}`]
      if (state === 'cancelled') return [false, 'cancelled']
      if (seq > currentSeq) return [true, 'not finished']
      return [true, 'not finished: cancel it first']
    })()
    verdicts.set(run, { retained, reason, deletionCommitted, replacedMs })
    // Whoever embeds it takes over vectors of its base.
    if (plan.baseRun !== undefined && !finished && retained) bases.set(plan.baseRun, run)
  }
  for (const [base, by] of bases) {
    const verdict = verdicts.get(base)
    if (verdict?.retained === false && !verdict.deletionCommitted) {
      verdicts.set(base, { ...verdict, retained: true, reason: `run ${by} reuses it` })
    }
  }
  return verdicts
}

/**
 * What is below `runs/` and of no run that has a plan: removed in part, or old enough to be
 * nobody's who is still at work.
 */
export async function* orphanedRuns(
  store: Store,
  planned: ReadonlyMap<string, RetentionDecision>,
  rules: RetentionPolicy,
  signal?: AbortSignal,
): AsyncGenerator<{ run: string; reason: string; objects: ListedObject[] }, void, undefined> {
  for await (const run of runFolders(store, signal)) {
    if (planned.has(run) || (rules.run !== undefined && rules.run !== run)) continue
    const objects = await Array.fromAsync(store.list(`runs/${run}/`, { signal }))
    const rest = withoutStateRecords(objects, run)
    // All that stays of a run that was removed.
    if (rest.length === 0) continue
    const begun = rest.length < objects.length && (await readRunState(store, run)) === 'deleted'
    if (begun) yield { run, reason: DELETION_COMMITTED, objects: rest }
    else if (!tooRecentReason(lastReferencedMs(objects), rules)) {
      yield { run, reason: 'left behind without a plan', objects: rest }
    }
  }
}

/**
 * What was said of a run stays when it goes: a number is taken once, and nobody takes an old word
 * for the newest.
 */
export const withoutStateRecords = (objects: readonly ListedObject[], run: string): ListedObject[] =>
  objects.filter(({ key }) => !key.startsWith(runStatePrefix(run)))

/** The runs that have any object: one request each, however many it has. */
async function* runFolders(store: Store, signal?: AbortSignal): AsyncGenerator<string, void, undefined> {
  let startAfter: string | undefined
  while (true) {
    const [first] = await Array.fromAsync(firstOf(store.list('runs/', { startAfter, signal })))
    const run = first?.key.split('/')[1]
    if (run === undefined) return
    if (isRunId(run)) yield run
    // The next byte after '/'.
    startAfter = `runs/${run}0`
  }
}

async function* firstOf<T>(values: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  for await (const value of values) {
    yield value
    return
  }
}

/**
 * When the last of the objects was written, or the run replaced as the current version. What has no
 * time is new.
 */
export const lastReferencedMs = (objects: readonly ListedObject[], replacedMs = 0): number =>
  objects.reduce((last, { modifiedMs = Number.POSITIVE_INFINITY }) => Math.max(last, modifiedMs), replacedMs)

/** What to say of a run that may go for its part but is too young; undefined if it is not. */
export function tooRecentReason(lastMs: number, { beforeMs, run }: RetentionPolicy): string | undefined {
  if (run !== undefined || beforeMs === Number.POSITIVE_INFINITY || lastMs < beforeMs) return undefined
  return Number.isFinite(lastMs)
    ? `written or replaced on ${new Date(lastMs).toISOString().slice(0, 16).replace('T', ' ')} UTC`
    : 'of an age that the store does not say'
}
