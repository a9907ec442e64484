// What must hold of gc, judged by what is really in the simulated store: nothing goes that anybody needs or that is
// young, and a gc that ran to its end leaves nothing of what was needed by nobody all the while.

import type { Plan, Version } from '@reembed/protocol'
import { isRunId, manifestKey, planKey, runStatePrefix, seqOfKey } from '@reembed/shared'
import type { Objects } from './store.ts'

/** How many versions stay, and for how many turns what is new does. */
export interface Rules {
  readonly keep: number
  readonly ageTurns: number
}

export interface Garbage {
  /** Looks at what was erased since the last call. */
  erased(keys: readonly string[]): Generator<string>
  /** Looks at a word about a run when it is put. */
  said(key: string): Generator<string>
  /** Somebody wants this run gone, however young. */
  name(run: string): void
  /** Objects of the run went at some time. */
  isThinned(run: string): boolean
  /** Objects that went. */
  readonly erasures: number
  /** Before a gc looks at anything; what is broken if it says that it ran to its end. */
  begin(): () => Generator<string>
  /** At the end of all: what is left is what is needed. */
  leaves(): Generator<string>
}

interface Word {
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
  const wordOf = (run: string): Word => {
    const [newest = ''] = keysOf(runStatePrefix(run))
    return json<Word>(newest) ?? { state: 'running' }
  }
  const stateOf = (run: string): string | undefined => {
    const { state, previousState } = wordOf(run)
    return state === 'deleting' || state === 'deleted' ? previousState : state
  }

  /** Newest first. */
  const versions = (): (Version & { at: number })[] =>
    keysOf('versions/').map(key => ({ ...(json(key) as Version), at: atOf(key) }))
  const keptRuns = (): string[] => [...new Set(versions().map(({ run }) => run))].slice(0, keep)

  /** When the run ceased to be the current version. */
  function replacedAt(run: string): number {
    const all = versions()
    const last = all.findIndex(each => each.run === run)
    return last > 0 ? (all[last - 1]?.at ?? 0) : 0
  }

  /** Why a run with a plan is needed; undefined if it is not. */
  function needOf(run: string, plan: Plan): string | undefined {
    const currentSeq = versions()[0]?.seq ?? 0
    const isFinished = map.has(manifestKey(run))
    if (keptRuns().includes(run)) return 'a version that is kept'
    if (isFinished) return plan.seq > currentSeq ? 'finished and not published' : undefined
    if (stateOf(run) !== 'cancelled') return 'under way'
    return undefined
  }

  /** A run that embeds, and takes vectors from this one. */
  const userOf = (run: string, before: number): string | undefined =>
    keysOf('runs/')
      .filter(key => key.endsWith('/plan.json') && atOf(key) < before)
      .map(runOf)
      .find(
        user =>
          planOf(user)?.baseRun === run &&
          !map.has(manifestKey(user)) &&
          wordOf(user).state !== 'deleted' &&
          stateOf(user) !== 'cancelled' &&
          keysOf(runStatePrefix(user)).every(key => atOf(key) < before),
      )

  /** The run is given up for good: it must be what nobody needs, and old. */
  function* checkErasing(run: string, wordKey: string): Generator<string> {
    const plan = planOf(run)
    const [, markKey = wordKey] = keysOf(runStatePrefix(run))
    const markedAt = atOf(markKey)
    // Who plans it later looks at the word later still.
    const need = plan && atOf(planKey(run)) < markedAt && needOf(run, plan)
    if (need && !(stateOf(run) === 'cancelled' && need.startsWith('finished')))
      yield `GC run ${run} is given up and ${need}`
    const user = userOf(run, markedAt)
    if (user) yield `GC run ${run} is given up and reused by ${user}`
    if (named.has(run)) return
    const others = keysOf(`runs/${run}/`).filter(key => key !== wordKey && key !== markKey)
    const young = others.find(key => isYoung(key, markedAt))
    if (young) yield `GC run ${run} is given up and ${young} is young`
    if (replacedAt(run) > now() - ageTurns) yield `GC run ${run} is given up and was current a moment ago`
  }

  const isYoung = (key: string, before: number): boolean => atOf(key) < before && atOf(key) > now() - ageTurns

  function* checkErased(key: string): Generator<string> {
    const run = runOf(key)
    if (!key.startsWith('runs/')) yield `GC ${key} is gone`
    thinned.add(run)
    if (keptRuns().includes(run)) yield `GC ${key} is gone, of a version that is kept`
    if (key.startsWith(runStatePrefix(run)))
      yield `GC ${key} is gone: nobody knows any more that the run went`
    if (wordOf(run).state !== 'deleted') yield `GC ${key} is gone, of a run that is not given up`
  }

  const besideWords = (run: string): string[] =>
    keysOf(`runs/${run}/`).filter(key => !key.startsWith(runStatePrefix(run)))

  /** What a gc that begins now has to remove, unless something becomes of it meanwhile. */
  function doomed(): string[] {
    const runs = [...new Set(keysOf('runs/').map(runOf))].filter(isRunId)
    return runs.filter(run => {
      if (besideWords(run).length === 0) return false
      if (wordOf(run).state === 'deleted') return true
      const keys = keysOf(`runs/${run}/`)
      if (keys.some(key => atOf(key) >= now() - ageTurns) || replacedAt(run) >= now() - ageTurns) return false
      const plan = planOf(run)
      return plan === undefined || !(needOf(run, plan) || isPlaced(run) || userOf(run, now() + 1))
    })
  }

  /** Somebody went back to it, or began to: it has a later place than the current version. */
  const isPlaced = (run: string): boolean => {
    const currentSeq = versions()[0]?.seq ?? 0
    const later = keysOf('seq/').filter(key => seqOfKey(key) > currentSeq)
    return map.has(manifestKey(run)) && later.some(key => json<{ run: string }>(key)?.run === run)
  }

  /** Somebody did something with the run since then. */
  function isTouched(run: string, since: number): boolean {
    const fresh = [...map.keys()].filter(key => atOf(key) >= since)
    return fresh.some(key => {
      if (key.startsWith('seq/') || key.startsWith('versions/'))
        return json<{ run: string }>(key)?.run === run
      if (key.startsWith(`runs/${run}/`)) return true
      // Planned, or let go on after it was cancelled.
      const isAbout = key.endsWith('/plan.json') || key.includes('/state/')
      return isAbout && planOf(runOf(key))?.baseRun === run
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
    *said(key) {
      if (json<Word>(key)?.state === 'deleted') yield* checkErasing(runOf(key), key)
    },
    name: run => void named.add(run),
    isThinned: run => thinned.has(run),
    begin() {
      const [since, runs] = [now(), doomed()]
      return function* () {
        for (const run of runs) {
          // Of a run that is given up all goes but the words, however young.
          const isDeleted = wordOf(run).state === 'deleted'
          const left = besideWords(run).filter(key => isDeleted || atOf(key) < since - ageTurns)
          if (left.length > 0 && !isTouched(run, since)) yield `GC ${left} stay, which nobody needs`
        }
      }
    },
    *leaves() {
      for (const run of doomed()) yield `GC run ${run} is left, which nobody needs`
      for (const run of keptRuns()) {
        const shards = keysOf(`runs/${run}/data/`).length
        if (!map.has(manifestKey(run)) || shards < (planOf(run)?.shards ?? Number.POSITIVE_INFINITY))
          yield `GC version of ${run} is not whole`
      }
    },
  }
}
