// Gate set-up: checks gates, queries and judgements when a run is planned, and embeds the queries with its model, so
// that the sweeper that finalizes the run can evaluate it without an endpoint.

import type { Endpoint } from '@reembed/endpoint'
import {
  type EvaluationQuery,
  embedQueries,
  hashOfQueries,
  needsQueries,
  parseGate,
  putQueries,
  queriesOf,
} from '@reembed/evaluate'
import type { Plan, Recipe } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { PlanOptions } from './options.ts'

export interface GateSetup extends Pick<Plan, 'gates' | 'evaluation' | 'queryPrompt'> {
  readonly queries: readonly EvaluationQuery[]
}

/** @throws ReembedError USAGE for a gate that cannot be parsed or lacks queries, and for files with file and line. */
export async function resolveGates({
  gates: wanted,
  queryPrompt,
}: Pick<PlanOptions, 'gates' | 'queryPrompt'>): Promise<GateSetup> {
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

/** Embeds the queries of a run and keeps them beside its plan. */
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
