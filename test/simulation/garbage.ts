// Invariants of gc, checked against the simulated store itself: gc deletes no object that a run or
// a reader needs and no young one, and a gc that completes leaves no object that was unneeded from
// its start to its end.

import { baseRunsOf, type Plan, type Version } from '@reembed/protocol'
import { isRunId, manifestKey, planKey, runStatePrefix, seqOfKey } from '@reembed/shared'
import type { Objects } from './store.ts'

/** How many versions gc keeps, and for how many turns it keeps new objects. */
export interface Rules {
  readonly keep: number
  readonly ageTurns: number
}

export interface Garbage {
  /** Checks the objects that were erased since the last call. */
  erased(keys: readonly string[]): Generator<string>
  /** Checks a state record of a run when it is put. */
  recorded(key: string): Generator<string>
  /** An operator asks for the deletion of this run, whatever its age. */
  name(run: string): void
  /** Whether any object of the run was ever erased. */
  isThinned(run: string): boolean
  /** Number of erased objects. */
  readonly erasures: number
  /**
   * Call before a gc reads anything. Returns a check for its completion, which returns the broken
   * invariant.
   */
  begin(): () => Generator<string>
  /** At the end of the history: only needed objects are left. */
  leaves(): Generator<string>
}

interface StateRecord {
  readonly state: string
  readonly previousState?: string
}

export function createGarbage(objects: Objects, now: () => number, { keep, ageTurns }: Rules): Garbage {
  const { map } = objects
  const thinned = new Set<string>()
  const named = new Set<string>()
  let erasures = 0

  const json = <T>(key: string): T | undefined => {
    const held = map.get(key)
    return held && (JSON.parse(Buffer.from(held.body).toString()) as T)
  }
  const keysOf = (prefix: string): string[] => [...map.keys()].filter(key => key.startsWith(prefix)).sort()
  const runOf = (key: string): string => key.split('/')[1] ?? ''
  const atOf = (key: string): number => map.get(key)?.at ?? 0
  const planOf = (run: string): Plan | undefined => json(planKey(run))
  const recordOf = (run: string): StateRecord => {
    const [newest = ''] = keysOf(runStatePrefix(run))
    return json<StateRecord>(newest) ?? { state: 'running' }
  }
  const stateOf = (run: string): string | undefined => {
    const { state, previousState } = recordOf(run)
    return state === 'deleting' || state === 'deleted' ? previousState : state
  }

  const isGivenUp = (run: string): boolean => ['cancelled', 'failed'].includes(stateOf(run) ?? '')

  /** Newest first. */
  const versions = (): (Omit<Version, 'at'> & { at: number })[] =>
    keysOf('versions/').map(key => ({ ...(json(key) as Version), at: atOf(key) }))
  const keptRuns = (): string[] => [...new Set(versions().map(({ run }) => run))].slice(0, keep)

  /** When the run ceased to be the current version. */
  function replacedAt(run: string): number {
    const all = versions()
    const last = all.findIndex(each => each.run === run)
    return last > 0 ? (all[last - 1]?.at ?? 0) : 0
  }

  /** The reason why a run with a plan is needed; undefined if it is not. */
  function needOf(run: string, plan: Plan): string | undefined {
    const currentSeq = versions()[0]?.seq ?? 0
    const isFinished = map.has(manifestKey(run))
    if (keptRuns().includes(run)) return 'a version that is kept'
    if (isFinished) return plan.seq > currentSeq ? 'finished and not published' : undefined
    if (!isGivenUp(run)) return 'under way'
    return undefined
  }

  function reuses(user: string, run: string): boolean {
    const plan = planOf(user)
    return plan !== undefined && baseRunsOf(plan).includes(run)
  }

  /** A run that embeds, and takes vectors from this one. */
  const userOf = (run: string, before: number): string | undefined =>
    keysOf('runs/')
      .filter(key => key.endsWith('/plan.json') && atOf(key) < before)
      .map(runOf)
      .find(
        user =>
          reuses(user, run) &&
          !map.has(manifestKey(user)) &&
          recordOf(user).state !== 'deleted' &&
          !isGivenUp(user) &&
          keysOf(runStatePrefix(user)).every(key => atOf(key) < before),
      )

  /** The deletion of the run is committed: the run must be unneeded and old. */
  function* checkErasing(run: string, recordKey: string): Generator<string> {
    const plan = planOf(run)
    const [, markKey = recordKey] = keysOf(runStatePrefix(run))
    const markedAt = atOf(markKey)
    // A producer that plans the run later reads the state record after that.
    const need = plan && atOf(planKey(run)) < markedAt && needOf(run, plan)
    if (need && !(isGivenUp(run) && need.startsWith('finished')))
      yield `GC run ${run} is given up and ${need}`
    const user = userOf(run, markedAt)
    if (user) yield `GC run ${run} is given up and reused by ${user}`
    if (named.has(run)) return
    const others = keysOf(`runs/${run}/`).filter(key => key !== recordKey && key !== markKey)
    const young = others.find(key => isYoung(key, markedAt))
    if (young) yield `GC run ${run} is given up and ${young} is young`
    if (replacedAt(run) > now() - ageTurns) yield `GC run ${run} is given up and was current a moment ago`
  }

  const isYoung = (key: string, before: number): boolean => atOf(key) < before && atOf(key) > now() - ageTurns

  function* checkErased(key: string): Generator<string> {
    const run = runOf(key)
    if (!key.startsWith('runs/')) yield `GC ${key} is erased`
    thinned.add(run)
    if (keptRuns().includes(run)) yield `GC ${key} is erased, of a version that is kept`
    if (key.startsWith(runStatePrefix(run))) yield `GC ${key} is erased: the tombstone of the run is lost`
    if (recordOf(run).state !== 'deleted')
      yield `GC ${key} is erased, of a run whose deletion is not committed`
  }

  const besideRecords = (run: string): string[] =>
    keysOf(`runs/${run}/`).filter(key => !key.startsWith(runStatePrefix(run)))

  /** What a gc that begins now must delete, unless its state changes meanwhile. */
  function doomed(): string[] {
    const runs = [...new Set(keysOf('runs/').map(runOf))].filter(isRunId)
    return runs.filter(run => {
      if (besideRecords(run).length === 0) return false
      if (recordOf(run).state === 'deleted') return true
      const keys = keysOf(`runs/${run}/`)
      if (keys.some(key => atOf(key) >= now() - ageTurns) || replacedAt(run) >= now() - ageTurns) return false
      const plan = planOf(run)
      return plan === undefined || !(needOf(run, plan) || isPlaced(run) || userOf(run, now() + 1))
    })
  }

  /**
   * A rollback to the run completed or began: it has a higher sequence number than the current
   * version.
   */
  const isPlaced = (run: string): boolean => {
    const currentSeq = versions()[0]?.seq ?? 0
    const later = keysOf('seq/').filter(key => seqOfKey(key) > currentSeq)
    return map.has(manifestKey(run)) && later.some(key => json<{ run: string }>(key)?.run === run)
  }

  /** Whether the run changed since then. */
  function isTouched(run: string, since: number): boolean {
    const fresh = [...map.keys()].filter(key => atOf(key) >= since)
    return fresh.some(key => {
      if (key.startsWith('seq/') || key.startsWith('versions/'))
        return json<{ run: string }>(key)?.run === run
      if (key.startsWith(`runs/${run}/`)) return true
      // Planned, or resumed after it was cancelled.
      const isAbout = key.endsWith('/plan.json') || key.includes('/state/')
      return isAbout && reuses(runOf(key), run)
    })
  }

  return {
    get erasures() {
      return erasures
    },
    *erased(keys) {
      erasures += keys.length
      for (const key of keys) yield* checkErased(key)
    },
    *recorded(key) {
      if (json<StateRecord>(key)?.state === 'deleted') yield* checkErasing(runOf(key), key)
    },
    name: run => void named.add(run),
    isThinned: run => thinned.has(run),
    begin() {
      const [since, runs] = [now(), doomed()]
      return function* () {
        for (const run of runs) {
          // All objects of a run with a committed deletion are erased, whatever their age, except
          // its state records.
          const isDeleted = recordOf(run).state === 'deleted'
          const left = besideRecords(run).filter(key => isDeleted || atOf(key) < since - ageTurns)
          if (left.length > 0 && !isTouched(run, since)) yield `GC ${left} stay although unneeded`
        }
      }
    },
    *leaves() {
      for (const run of doomed()) yield `GC run ${run} is left although unneeded`
      for (const run of keptRuns()) {
        const shards = keysOf(`runs/${run}/data/`).length
        if (!map.has(manifestKey(run)) || shards < (planOf(run)?.shards ?? Number.POSITIVE_INFINITY))
          yield `GC version of ${run} is not whole`
      }
    },
  }
}
