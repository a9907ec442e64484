// Scores a finished run with judged queries. Gates compare later runs with the scores, also runs of
// another model.

import { type EndpointResolver, openEndpoint, type ResolvedEndpoint, resolveGiven } from '@reembed/endpoint'
import { putEvaluation, requirePlan, type Scores } from '@reembed/protocol'
import { requireManifest } from '@reembed/shard'
import type { Store } from '@reembed/store'
import { evaluate } from './compare/evaluate.ts'
import { mean } from './compare/rows.ts'
import {
  type EvaluationQuery,
  embedQueries,
  hashOfQueries,
  type JudgedQueryFiles,
  queriesOf,
} from './judged-queries.ts'
import { requireModelOf } from './search.ts'

const WORST_SHOWN = 5

export interface ScoreRequest {
  readonly run: string
  readonly queries: readonly EvaluationQuery[] | JudgedQueryFiles
  /** The rank k of recall@k and ndcg@k. */
  readonly top: number
  /** Text in front of each query; default: that of the plan. */
  readonly queryPrompt?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** The scores of a run, each metric once as a mean and once for each query. */
export interface ScoredRun {
  readonly run: string
  /** SHA-256 of queries and judgements. */
  readonly evaluation: string
  readonly means: Readonly<Record<string, number>>
  readonly queries: readonly { readonly id: string; readonly text: string }[]
  readonly scores: Scores
  /** The queries with the lowest recall, worst first, at most five. */
  readonly worst: readonly { readonly id: string; readonly text: string; readonly recall: number }[]
  /** Documents in the judgements, and those of them that the run does not have. */
  readonly judged: number
  readonly missing: number
}

/**
 * Embeds the queries with the model of the run, compares them with every vector, and stores the
 * scores, put-if-absent.
 * @param given resolved once the queries and the run are known to be valid
 * @throws ReembedError RUN_NOT_FOUND for a run that is not finished, MODEL_MISMATCH when the
 * endpoint serves another model, USAGE for files with file and line
 */
export async function scoreRun(
  store: Store,
  given: ResolvedEndpoint | EndpointResolver,
  { run, queries: source, top, queryPrompt, signal }: ScoreRequest,
): Promise<ScoredRun> {
  const queries = await queriesOf(source)
  const manifest = await requireManifest(store, run)
  const { recipe } = await requirePlan(store, run)
  const { url, options } = await resolveGiven(given)
  await using endpoint = await openEndpoint(url, options)
  requireModelOf(manifest, endpoint)
  const prompt = queryPrompt || manifest.queryPrompt || ''
  const vectors = await embedQueries(queries, prompt, endpoint, recipe)
  const { scores, judged, missing } = await evaluate(store, manifest, vectors, [top], signal)
  const evaluation = hashOfQueries(queries)
  const recalls = scores[`recall@${top}`] ?? []
  const worst = queries
    .map(({ id, text }, i) => ({ id, text, recall: recalls[i] ?? 0 }))
    .filter(({ recall }) => recall < 1)
    .sort((a, b) => a.recall - b.recall)
    .slice(0, WORST_SHOWN)
  await putEvaluation(store, run, { evaluation, scores })
  return {
    run,
    evaluation,
    means: Object.fromEntries(Object.entries(scores).map(([name, each]) => [name, mean(each)])),
    queries: queries.map(({ id, text }) => ({ id, text })),
    scores,
    worst,
    judged,
    missing,
  }
}
