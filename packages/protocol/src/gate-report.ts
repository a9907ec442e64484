// The gate results of a run, `runs/<run>/gates-<current run, or none>.json`, and the query vectors
// that gates search with, `runs/<run>/queries.json.gz`.

import { bool, either, filled, finite, list, mapOf, none, queriesKey, record, text } from '@reembed/shared'
import { objectKind, rowsKind, type Store } from '@reembed/store'

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
  reports.read(store, key)

/** Writes a gate report, put-if-absent. */
export const putGateReport = (store: Store, key: string, report: GateReport): Promise<'created' | 'exists'> =>
  reports.put(store, key, report)

/** Reads the query vectors of a run. @throws ReembedError CORRUPT if they are missing or invalid */
export const readQueries = (store: Store, run: string): Promise<QueryVector[]> =>
  queries.read(store, queriesKey(run))

/** Writes the query vectors of a run, put-if-absent. */
export const putQueries = (
  store: Store,
  run: string,
  rows: readonly QueryVector[],
): Promise<'created' | 'exists'> => queries.put(store, queriesKey(run), rows)

const reports = objectKind<GateReport>({
  noun: 'a gate report that reembed wrote',
  shape: record<GateReport>({
    evaluation: either(text, none),
    scores: mapOf(list(finite)),
    results: list(record<GateResult>({ gate: text, passed: bool, message: text })),
  }),
})

const queries = rowsKind<QueryVector>({
  noun: 'a list of query vectors that reembed wrote',
  shape: filled(record<QueryVector>({ id: text, relevant: mapOf(finite), vector: filled(finite) })),
})
