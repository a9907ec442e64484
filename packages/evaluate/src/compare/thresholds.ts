// What a score threshold becomes when the model changes. Cosines of two models have different
// distributions, so that a cut-off of the old model lets through too much or too little of the new
// one. The new cut-off lets through the same share of results, or, with judgements, is the lowest
// one with the same precision.

import type { Passed, RefittedThreshold } from '@reembed/protocol'

/** One result of a query. */
export interface ScoredResult {
  /** Cosine, -1 to 1. */
  readonly score: number
  /** Whether the document is relevant to the query; undefined without judgements. */
  readonly relevant?: boolean | undefined
}

/**
 * Refits cut-offs. Both lists hold the results of the same queries, as many for each query.
 * @param cutoffs cut-offs of the old model
 */
export function refitThresholds(
  before: readonly ScoredResult[],
  after: readonly ScoredResult[],
  cutoffs: readonly number[],
): RefittedThreshold[] {
  const [old, fresh] = [ranked(before), ranked(after)]
  if (old.length === 0 || fresh.length === 0) return []
  return cutoffs.map(cutoff => {
    const passed = passedAt(old, cutoff)
    const place = Math.round(passed.share * fresh.length)
    return {
      before: passed,
      unchanged: passedAt(fresh, cutoff),
      sameShare: passedAt(fresh, cutoffFor(fresh, place)),
      samePrecision: passed.precision === null ? null : lowestWith(fresh, passed.precision),
    }
  })
}

/**
 * The multiples of 0.05 that let through between 5 and 95 % of the results; the median if there are
 * none.
 */
export function usualCutoffs(results: readonly ScoredResult[]): number[] {
  const scores = ranked(results).map(({ score }) => score)
  const [low, middle, high] = [0.95, 0.5, 0.05].map(share => scores[Math.floor(share * (scores.length - 1))])
  if (low === undefined || middle === undefined || high === undefined) return []
  const found: number[] = []
  for (let step = Math.ceil(low / STEP); step * STEP <= high; step += 1)
    found.push(Math.round(100 * step * STEP) / 100)
  return found.length > 0 ? found : [middle]
}
const STEP = 0.05

/** Highest score first. */
const ranked = (results: readonly ScoredResult[]): ScoredResult[] =>
  [...results].sort((a, b) => b.score - a.score)

function passedAt(results: readonly ScoredResult[], cutoff: number): Passed {
  const passed = results.filter(({ score }) => score >= cutoff)
  return { cutoff, share: passed.length / results.length, precision: precisionOf(passed) }
}

function precisionOf(passed: readonly ScoredResult[]): number | null {
  if (passed.length === 0 || passed.some(({ relevant }) => relevant === undefined)) return null
  return passed.filter(({ relevant }) => relevant).length / passed.length
}

/** The score of the last of the first `place` results; above all of them for none. */
const cutoffFor = (results: readonly ScoredResult[], place: number): number =>
  place === 0 ? (results[0]?.score ?? 1) + Number.EPSILON : (results[place - 1]?.score ?? -1)

function lowestWith(results: readonly ScoredResult[], precision: number): Passed | null {
  let [relevant, best]: [number, Passed | null] = [0, null]
  for (const [i, result] of results.entries()) {
    if (result.relevant) relevant += 1
    // A cut-off lets through all results of one score.
    if (results[i + 1]?.score === result.score) continue
    const reached = relevant / (i + 1)
    if (reached >= precision)
      best = { cutoff: result.score, share: (i + 1) / results.length, precision: reached }
  }
  return best
}
