// Scores of two models on the same queries, within one sample of documents.

import { type Manifest, type QueryVector, readQueries, requirePlan, type Scores } from '@reembed/protocol'
import type { Store } from '@reembed/store'
import { evaluateRows, pairedDrop } from './compare/evaluate.ts'
import { mean, type Rows } from './compare/rows.ts'
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

/**
 * The current version's vectors of the queries are read from its run: no endpoint of its model is
 * needed.
 */
export async function previewScores(
  output: Store,
  current: Manifest,
  {
    queries,
    asked,
    before,
    after,
    top,
  }: {
    readonly queries: readonly EvaluationQuery[]
    readonly asked: readonly QueryVector[]
    readonly before: Rows
    readonly after: Rows
    readonly top: number
  },
): Promise<Record<string, PreviewScore>> {
  const now = await evaluateRows(asked, after, [top])
  const { evaluation } = await requirePlan(output, current.run)
  const comparable = evaluation?.sha256 === hashOfQueries(queries)
  const then: Scores = comparable
    ? await evaluateRows(await readQueries(output, current.run), before, [top])
    : {}
  return Object.fromEntries(
    Object.entries(now).map(([metric, own]): [string, PreviewScore] => {
      const theirs = then[metric]
      return [
        metric,
        {
          before: theirs ? mean(theirs) : null,
          after: mean(own),
          queries: own.length,
          drop: theirs ? pairedDrop(theirs, own) : null,
        },
      ]
    }),
  )
}
