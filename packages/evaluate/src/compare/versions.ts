// Two finished runs compared for a decision: neighbours, judged queries, and what score thresholds
// become.

import {
  type GateReport,
  getGateReport,
  type JudgedComparison,
  type Manifest,
  type Plan,
  readQueries,
  requirePlan,
  type ThresholdComparison,
} from '@reembed/protocol'
import { gatesKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { answerQueries, judgeAnswers, resultsOf } from './queries.ts'
import { type CompareOptions, type Comparison, compareRuns } from './runs.ts'
import { refitThresholds, type ScoredResult, usualCutoffs } from './thresholds.ts'

export interface VersionComparison extends Comparison, ThresholdComparison {
  /** How both runs answer the judged queries; undefined if they share none. */
  readonly judged: JudgedComparison | undefined
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
  return judgeAnswers(after, old, fresh, top)
}

const hasSameQueries = (a: Plan, b: Plan): boolean => a.evaluation?.sha256 === b.evaluation?.sha256
