// The gate results of a run, `runs/<run>/gates-<current run, or none>.json`, and the query vectors
// that gates search with, `runs/<run>/queries.json.gz`.

import {
  bool,
  either,
  finite,
  list,
  mapOf,
  none,
  queriesKey,
  record,
  requireShape,
  text,
} from '@reembed/shared'
import { getRows, getShaped, type Store } from '@reembed/store'

/** The result of one gate. */
export interface GateResult {
  readonly gate: string
  readonly passed: boolean
  /** One sentence with the measured and the required value. */
  readonly message: string
}

/** One score per query, by metric ('recall@10'). */
export type Scores = Readonly<Record<string, readonly number[]>>

/** The results of all gates of a run. */
export interface GateReport {
  /** SHA-256 of queries and judgements; null if the run has none. */
  readonly evaluation: string | null
  readonly scores: Scores
  readonly results: readonly GateResult[]
}

/** A query and its relevant documents. As in BEIR, a document with a score above 0 is relevant. */
export interface JudgedQuery {
  readonly id: string
  readonly relevant: Readonly<Record<string, number>>
}

/** A judged query with its vector. */
export interface QueryVector extends JudgedQuery {
  readonly vector: readonly number[]
}

/**
 * Reads a gate report; undefined if there is none. @throws ReembedError CORRUPT if it is invalid
 */
export const getGateReport = (store: Store, key: string): Promise<GateReport | undefined> =>
  getShaped<GateReport>(store, key, reportShape, 'a gate report')

/** Reads the query vectors of a run. @throws ReembedError CORRUPT if they are missing or invalid */
export async function readQueries(store: Store, run: string): Promise<QueryVector[]> {
  const key = queriesKey(run)
  const what = `${key} in ${store.url} does not hold query vectors that reembed wrote`
  return requireShape<QueryVector[]>(list(queryShape), await getRows(store, key), what)
}

const reportShape = record<GateReport>({
  evaluation: either(text, none),
  scores: mapOf(list(finite)),
  results: list(record<GateResult>({ gate: text, passed: bool, message: text })),
})

const queryShape = record<QueryVector>({ id: text, relevant: mapOf(finite), vector: list(finite) })
