// Decides which runs of an output gc keeps, and since when the others are not needed.

import {
  baseRunsOf,
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
  /** Number of published runs that are kept, the current one included. */
  readonly keep: number
  /**
   * Objects written, and versions replaced, at or after this time are kept. Infinity: no age limit.
   */
  readonly beforeMs: number
  /** Id of the only run to consider, whatever its age. */
  readonly run?: string | undefined
}

export interface RetentionDecision {
  readonly retained: boolean
  readonly reason: string
  /** Whether its deletion is recorded as 'deleted', which is final. */
  readonly deletionCommitted: boolean
  /** When it stopped being the current version; undefined if it never was, or still is. */
  readonly replacedMs: number | undefined
}

const DELETION_COMMITTED = 'its deletion has begun'

/**
 * A decision for every run of the output that has a plan, newest first.
 * @throws ReembedError USAGE for a `keep` below 1
 */
export async function decideRetention(
  store: Store,
  { keep }: Pick<RetentionPolicy, 'keep'>,
  signal?: AbortSignal,
): Promise<Map<string, RetentionDecision>> {
  if (!(Number.isSafeInteger(keep) && keep >= 1)) {
    throw new ReembedError('USAGE', `cannot keep ${keep} versions: keep 1 or more`, {
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

  const decisions = new Map<string, RetentionDecision>()
  const bases = new Map<string, string>()
  for (const [run, seq] of newestSeq) {
    signal?.throwIfAborted()
    const plan = await readPlan(store, run)
    // A sequence number without a plan: a run that is being planned, or that was deleted.
    if (plan === undefined) continue
    // Read before the state: if another gc has deleted the manifest, the state records it.
    const finished = (await readManifest(store, run)) !== undefined
    const record = await readRunStateRecord(store, run)
    const deletionCommitted = record.state === 'deleted'
    // 'deleting' alone is provisional: the gc that recorded it has yet to check again.
    const state = record.state === 'deleting' ? record.previousState : record.state
    const { version, replacedMs } = published.get(run) ?? {}
    const [retained, reason] = ((): [boolean, string] => {
      if (deletionCommitted) return [false, DELETION_COMMITTED]
      if (run === current) return [true, `version ${version}, current`]
      if (finished && seq > currentSeq) return [true, 'finished, not published yet']
      if (keptVersions.has(run)) return [true, `version ${version}`]
      if (finished) return [false, version === undefined ? 'never published' : `version ${version}`]
      if (state === 'cancelled' || state === 'failed') return [false, state]
      if (seq > currentSeq) return [true, 'not finished']
      return [true, 'not finished: cancel it first']
    })()
    decisions.set(run, { retained, reason, deletionCommitted, replacedMs })
    // Its workers read vectors of the base runs until it is finished.
    if (!finished && retained) for (const base of baseRunsOf(plan)) bases.set(base, run)
  }
  for (const [base, by] of bases) {
    const decision = decisions.get(base)
    if (decision?.retained === false && !decision.deletionCommitted) {
      decisions.set(base, { ...decision, retained: true, reason: `run ${by} reuses it` })
    }
  }
  return decisions
}

/**
 * Objects below `runs/` that belong to no run with a plan: a deletion that was interrupted, or
 * remains older than the age limit, which no running planner can still be writing.
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
    // State records are all that is left of a deleted run.
    if (rest.length === 0) continue
    const begun = rest.length < objects.length && (await readRunState(store, run)) === 'deleted'
    if (begun) yield { run, reason: DELETION_COMMITTED, objects: rest }
    else if (!tooRecentReason(lastReferencedMs(objects), rules)) {
      yield { run, reason: 'left behind without a plan', objects: rest }
    }
  }
}

/**
 * State records are tombstones: gc never deletes them. Each number is written once, so a reader can
 * never take an older record for the newest.
 */
export const withoutStateRecords = (objects: readonly ListedObject[], run: string): ListedObject[] =>
  objects.filter(({ key }) => !key.startsWith(runStatePrefix(run)))

/** Ids of the runs that have any object. One LIST request a run, whatever its number of objects. */
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
 * The later of two times: when the newest object was written, and when the run stopped being the
 * current version. An object without a time counts as new.
 */
export const lastReferencedMs = (objects: readonly ListedObject[], replacedMs = 0): number =>
  objects.reduce((last, { modifiedMs = Number.POSITIVE_INFINITY }) => Math.max(last, modifiedMs), replacedMs)

const DAY_MS = 86_400_000

/** Why a run that is not needed is too recent to delete; undefined if it is old enough. */
export function tooRecentReason(lastMs: number, { beforeMs, run }: RetentionPolicy): string | undefined {
  if (run !== undefined || beforeMs === Number.POSITIVE_INFINITY || lastMs < beforeMs) return undefined
  if (!Number.isFinite(lastMs)) return 'of unknown age: the store states no time'
  const days = Math.ceil((lastMs - beforeMs + 1) / DAY_MS)
  const when = new Date(lastMs).toISOString().slice(0, 16).replace('T', ' ')
  return `too recent: written or replaced on ${when} UTC, deletable in ${days === 1 ? 'a day' : `${days} days`}`
}
