// Gate set-up: checks gates, queries and judgements when a run is planned, and embeds the queries
// with its model, so that the sweeper that finalizes the run can evaluate it without an endpoint.

import type { Endpoint } from '@reembed/endpoint'
import { type Plan, putQueries, type Recipe } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { needsQueries, parseGate } from './gates.ts'
import {
  type EvaluationQuery,
  embedQueries,
  hashOfQueries,
  type JudgedQueryFiles,
  queriesOf,
} from './judged-queries.ts'

/** Conditions that a run must meet before it is published. */
export interface GateOptions {
  /**
   * 'recall@10 drop 0.02', 'ndcg@10 min 0.4', 'overlap@10 min 0.3', 'rows drop 5%', 'rejects max
   * 1%'.
   */
  readonly rules: readonly string[]
  /**
   * What recall and ndcg are measured on: queries with judgements, or files as `readJudgedQueries`
   * reads them.
   */
  readonly queries?: readonly EvaluationQuery[] | JudgedQueryFiles | undefined
}

interface GateRequest {
  readonly gates?: GateOptions | undefined
  /** Text in front of each query, as the model card asks. */
  readonly queryPrompt?: string | undefined
}

export interface GateSetup extends Pick<Plan, 'gates' | 'evaluation' | 'queryPrompt'> {
  readonly queries: readonly EvaluationQuery[]
}

/**
 * @throws ReembedError USAGE for a gate that cannot be parsed or lacks queries, and for files with
 * file and line.
 */
export async function resolveGates({ gates: wanted, queryPrompt }: GateRequest): Promise<GateSetup> {
  const gates = wanted?.rules.map(parseGate)
  const judged = gates?.find(needsQueries)
  const source = wanted?.queries
  if (judged && source === undefined) {
    throw new ReembedError(
      'USAGE',
      `the gate '${judged.text}' needs queries and their judgements: give both`,
      { option: 'gates.queries' },
    )
  }
  const queries = judged && source ? await queriesOf(source) : []
  return {
    queries,
    ...(gates && { gates: gates.map(({ text }) => text) }),
    ...(queries.length > 0 && {
      evaluation: { sha256: hashOfQueries(queries), queries: queries.length },
    }),
    ...(queryPrompt && { queryPrompt }),
  }
}

/** Embeds the queries of a run and stores their vectors with its plan. */
export async function storeQueries(
  store: Store,
  run: string,
  { queries, queryPrompt = '' }: GateSetup,
  endpoint: Endpoint,
  recipe: Recipe,
): Promise<void> {
  if (queries.length > 0)
    await putQueries(store, run, await embedQueries(queries, queryPrompt, endpoint, recipe))
}
