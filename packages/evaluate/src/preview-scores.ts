// A sample of documents with the vectors of two models: neighbours, answers to judged queries,
// score thresholds.

import {
  type Answered,
  type JudgedComparison,
  type Manifest,
  type QueryVector,
  type RowComparison,
  readQueries,
  requirePlan,
  type ThresholdComparison,
} from '@reembed/protocol'
import type { Store } from '@reembed/store'
import { answerRows, judgeAnswers, resultsOf } from './compare/queries.ts'
import { compareRows, mean, type Rows } from './compare/rows.ts'
import { refitThresholds, type ScoredResult, usualCutoffs } from './compare/thresholds.ts'
import { type EvaluationQuery, hashOfQueries } from './judged-queries.ts'

/** How well both models answer the queries, within the sample. */
export interface PreviewScore {
  /** Null if the run of the current version was planned without these queries. */
  readonly before: number | null
  readonly after: number
  readonly queries: number
  /** Mean and 95 % interval of the difference of both. */
  readonly drop: { readonly drop: number; readonly low: number; readonly high: number } | null
}

export interface PreviewComparison extends ThresholdComparison {
  readonly compared: RowComparison
  /** By metric, such as 'recall@10'; undefined without queries. */
  readonly scores: Readonly<Record<string, PreviewScore>> | undefined
  /** Undefined unless the run of the current version was planned with these queries. */
  readonly judged: JudgedComparison | undefined
}

interface PreviewRows {
  readonly queries: readonly EvaluationQuery[]
  /** The queries with vectors of the new model. */
  readonly asked: readonly QueryVector[]
  readonly before: Rows
  readonly after: Rows
  readonly top: number
  /** Number of documents whose neighbours are compared. */
  readonly neighboursOf: number
  readonly sameSpace: boolean
  readonly shardOf: (id: string) => number
}

/**
 * Compares the rows of the current version with those of another model. The current version's
 * vectors of the queries are read from its run: no endpoint of its model is needed.
 */
export async function comparePreview(
  output: Store,
  current: Manifest,
  { queries, asked, before, after, top, neighboursOf, sameSpace, shardOf }: PreviewRows,
): Promise<PreviewComparison> {
  const found: [readonly number[], readonly number[]] = [[], []]
  const compared = await compareRows(before, after, {
    top,
    queries: neighboursOf,
    sameSpace,
    onNeighbourScores: (old, fresh) => found.splice(0, 2, old, fresh),
  })
  const { evaluation } = await requirePlan(output, current.run)
  const fresh = await answerRows(after, asked, top, shardOf)
  const old =
    queries.length > 0 && evaluation?.sha256 === hashOfQueries(queries)
      ? await answerRows(before, await readQueries(output, current.run), top, shardOf)
      : undefined
  const judged = old && judgeAnswers(asked, old, fresh, top)
  const documents = found.map(all => all.map((score): ScoredResult => ({ score })))
  const [x = [], y = []] = judged ? resultsOf(judged.changes) : documents
  return {
    compared,
    scores: queries.length === 0 ? undefined : scoresOf(fresh, judged, top),
    judged,
    thresholds: refitThresholds(x, y, usualCutoffs(x)),
    thresholdsBy: judged ? 'queries' : 'documents',
  }
}

function scoresOf(
  fresh: readonly Answered[],
  judged: JudgedComparison | undefined,
  top: number,
): Record<string, PreviewScore> {
  const score = (metric: 'recall' | 'ndcg'): PreviewScore => ({
    before: judged?.[metric].before ?? null,
    after: mean(fresh.map(each => each[metric])),
    queries: fresh.length,
    drop: judged?.[metric].drop ?? null,
  })
  return { [`recall@${top}`]: score('recall'), [`ndcg@${top}`]: score('ndcg') }
}
