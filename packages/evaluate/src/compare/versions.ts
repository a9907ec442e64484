// Two finished runs compared for a decision: neighbours, judged queries, and what score thresholds
// become.

import {
  type GateReport,
  getGateReport,
  type Manifest,
  type Plan,
  readQueries,
  requirePlan,
} from '@reembed/protocol'
import { gatesKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { pairedDrop } from './evaluate.ts'
import { answerQueries, type QueryChange, worstFirst } from './queries.ts'
import { mean } from './rows.ts'
import { type CompareOptions, type Comparison, compareRuns } from './runs.ts'
import { type RefittedThreshold, refitThresholds, type ScoredResult, usualCutoffs } from './thresholds.ts'

/** A score of both runs. */
export interface ScorePair {
  readonly before: number
  readonly after: number
  /** Mean of before - after over the queries, with its 95 % interval. */
  readonly drop: { readonly drop: number; readonly low: number; readonly high: number }
}

export interface VersionComparison extends Comparison {
  /** How both runs answer the judged queries; undefined if they share none. */
  readonly judged:
    | {
        readonly queries: number
        readonly top: number
        readonly recall: ScorePair
        readonly ndcg: ScorePair
        /** Worst first. */
        readonly changes: readonly QueryChange[]
      }
    | undefined
  readonly thresholds: readonly RefittedThreshold[]
  /** Whether the thresholds were measured with judged queries, or with documents as queries. */
  readonly thresholdsBy: 'queries' | 'documents'
  /** The gates of `b` against `a`, if they were judged. */
  readonly gates: GateReport | undefined
}

/**
 * Compares run `a` with run `b` as compareRuns, and by the judged queries that both were planned
 * with. Reads every shard of both runs.
 * @throws ReembedError USAGE if the runs have no document in common
 * @throws the signal's reason
 */
export async function compareVersions(
  store: Store,
  a: Manifest,
  b: Manifest,
  options: CompareOptions = {},
): Promise<VersionComparison> {
  const { top = 10, signal } = options
  const scores: [readonly number[], readonly number[]] = [[], []]
  const comparison = await compareRuns(store, a, b, {
    ...options,
    onNeighbourScores: (before, after) => scores.splice(0, 2, before, after),
  })
  const judged = await judgedBy(store, a, b, top, signal)
  const documents = scores.map(all => all.map((score): ScoredResult => ({ score })))
  const [before = [], after = []] = judged ? resultsOf(judged.changes) : documents
  return {
    ...comparison,
    judged,
    thresholds: refitThresholds(before, after, usualCutoffs(before)),
    thresholdsBy: judged ? 'queries' : 'documents',
    gates: await getGateReport(store, gatesKey(b.run, a.run)),
  }
}

async function judgedBy(
  store: Store,
  a: Manifest,
  b: Manifest,
  top: number,
  signal: AbortSignal | undefined,
): Promise<VersionComparison['judged']> {
  const [planA, planB] = [await requirePlan(store, a.run), await requirePlan(store, b.run)]
  if (planB.evaluation === undefined) return undefined
  const after = await readQueries(store, b.run)
  const before = hasSameQueries(planA, planB)
    ? await readQueries(store, a.run)
    : a.spaceId === b.spaceId
      ? after
      : undefined
  if (before === undefined) return undefined
  const old = await answerQueries(store, a, before, top, signal)
  const fresh = await answerQueries(store, b, after, top, signal)
  const pair = (score: 'recall' | 'ndcg'): ScorePair => {
    const [x, y] = [old.map(each => each[score]), fresh.map(each => each[score])]
    return { before: mean(x), after: mean(y), drop: pairedDrop(x, y) }
  }
  return {
    queries: after.length,
    top,
    recall: pair('recall'),
    ndcg: pair('ndcg'),
    changes: worstFirst(after, old, fresh),
  }
}

const hasSameQueries = (a: Plan, b: Plan): boolean => a.evaluation?.sha256 === b.evaluation?.sha256

const resultsOf = (changes: readonly QueryChange[]): [ScoredResult[], ScoredResult[]] => [
  changes.flatMap(({ before }) => before.answers),
  changes.flatMap(({ after }) => after.answers),
]
