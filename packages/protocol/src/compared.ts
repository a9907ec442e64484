// What a comparison of two models measures: neighbours, judged queries, score thresholds. Of two
// runs it is computed when a reader asks; of a preview it is recorded.

import {
  amount,
  bool,
  count,
  either,
  finite,
  list,
  none,
  optional,
  positive,
  record,
  type Shape,
  text,
} from '@reembed/shared'

export interface RowComparison {
  readonly documents: number
  readonly queries: number
  readonly top: number
  /** Mean share, 0 to 1, of a document's nearest neighbours that both have in common. */
  readonly overlap: number
  /** Number of documents that keep 0, 1, … `top` of their nearest neighbours. */
  readonly overlapCounts: readonly number[]
  /** The documents with the smallest overlap, smallest first. */
  readonly leastOverlap: readonly { readonly id: string; readonly overlap: number }[]
  /** Cosine of a document's vectors in both; null if they have different vector spaces. */
  readonly cosine: { readonly mean: number; readonly min: number } | null
}

/** A document that answers a query. */
export interface Answer {
  readonly id: string
  /** Cosine, -1 to 1. */
  readonly score: number
  readonly shard: number
  /** Whether the judgements have it as relevant. */
  readonly relevant: boolean
}

/** The answers to one query, best first. */
export interface Answered {
  readonly answers: readonly Answer[]
  /** By the judgements, over the answers. */
  readonly recall: number
  readonly ndcg: number
}

/** A query with its answers from both. */
export interface QueryChange {
  readonly query: string
  /** Undefined in runs of reembed 0.1. */
  readonly text?: string | undefined
  readonly before: Answered
  readonly after: Answered
  /** Number of documents among both answers. */
  readonly common: number
}

/** A score of both. */
export interface ScorePair {
  readonly before: number
  readonly after: number
  /** Mean of before - after over the queries, with its 95 % interval. */
  readonly drop: { readonly drop: number; readonly low: number; readonly high: number }
}

/** How both answer the same judged queries. */
export interface JudgedComparison {
  readonly queries: number
  readonly top: number
  readonly recall: ScorePair
  readonly ndcg: ScorePair
  /** Queries that lost nDCG or recall, and queries that gained nDCG. */
  readonly worse: number
  readonly better: number
  /** Worst first; of a recorded comparison the first ones only. */
  readonly changes: readonly QueryChange[]
}

/** The results that a cut-off lets through: those with at least its score. */
export interface Passed {
  readonly cutoff: number
  /** Share of all results, 0 to 1. */
  readonly share: number
  /** Share of relevant results among them; null without judgements, or if nothing passes. */
  readonly precision: number | null
}

/** A cut-off of the old model, and what it becomes with the new one. */
export interface RefittedThreshold {
  readonly before: Passed
  /** The same number with the new model. */
  readonly unchanged: Passed
  /** The cut-off with the same share of results. */
  readonly sameShare: Passed
  /**
   * The lowest cut-off whose precision is not below that of `before`; null without judgements, or
   * where no cut-off has it.
   */
  readonly samePrecision: Passed | null
}

export interface ThresholdComparison {
  readonly thresholds: readonly RefittedThreshold[]
  /** Whether the thresholds were measured with judged queries, or with documents as queries. */
  readonly thresholdsBy: 'queries' | 'documents'
}

export const rowComparisonShape: Shape = record<RowComparison>({
  documents: count,
  queries: count,
  top: positive,
  overlap: amount,
  overlapCounts: list(count),
  leastOverlap: list(record<RowComparison['leastOverlap'][number]>({ id: text, overlap: amount })),
  cosine: either(record<NonNullable<RowComparison['cosine']>>({ mean: finite, min: finite }), none),
})

const answered: Shape = record<Answered>({
  answers: list(record<Answer>({ id: text, score: finite, shard: count, relevant: bool })),
  recall: amount,
  ndcg: amount,
})

const scorePair: Shape = record<ScorePair>({
  before: amount,
  after: amount,
  drop: record<ScorePair['drop']>({ drop: finite, low: finite, high: finite }),
})

export const judgedComparisonShape: Shape = record<JudgedComparison>({
  queries: count,
  top: positive,
  recall: scorePair,
  ndcg: scorePair,
  worse: count,
  better: count,
  changes: list(
    record<QueryChange>({
      query: text,
      text: optional(text),
      before: answered,
      after: answered,
      common: count,
    }),
  ),
})

const passed: Shape = record<Passed>({ cutoff: finite, share: amount, precision: either(amount, none) })

export const thresholdShape: Shape = record<RefittedThreshold>({
  before: passed,
  unchanged: passed,
  sameShare: passed,
  samePrecision: either(passed, none),
})
