// What gates read and write: the query vectors of a run, `runs/<run>/queries.json.gz`; its scores
// with judged queries, `runs/<run>/evaluation-<hash>.json`; its gate results against the run that
// it would replace, `runs/<run>/gates-<current run, or none>.json`.

import {
  bool,
  either,
  evaluationKey,
  filled,
  filledText,
  finite,
  list,
  mapOf,
  none,
  optional,
  queriesKey,
  record,
  text,
} from '@reembed/shared'
import { objectKind, rowsKind, type Store } from '@reembed/store'

/** The result of one gate. */
export interface GateResult {
  readonly gate: string
  readonly passed: boolean
  /** One sentence with the measured and the required value. */
  readonly message: string
  /** False if the value to compare with is unknown; undefined means true. */
  readonly judged?: boolean | undefined
  /** The queries that lost most against the current version, worst first, at most ten. */
  readonly worse?: readonly WorseQuery[] | undefined
}

/** A query with a lower score than under the current version. */
export interface WorseQuery {
  readonly query: string
  /** Undefined in runs of reembed 0.1. */
  readonly text?: string | undefined
  readonly before: number
  readonly after: number
}

/** One score per query, by metric ('recall@10'). */
export type Scores = Readonly<Record<string, readonly number[]>>

/** The scores of a run alone. */
export interface Evaluation {
  /** SHA-256 of queries and judgements. */
  readonly evaluation: string
  readonly scores: Scores
}

/** The results of all gates of a run. */
export interface GateReport {
  /** SHA-256 of queries and judgements; null if the run has none. */
  readonly evaluation: string | null
  readonly scores: Scores
  /** The scores of the current version that the run was compared with. */
  readonly baseline?: { readonly run: string; readonly scores: Scores } | undefined
  readonly results: readonly GateResult[]
}

/** A query and its relevant documents. As in BEIR, a document with a score above 0 is relevant. */
export interface JudgedQuery {
  readonly id: string
  readonly relevant: Readonly<Record<string, number>>
}

/** A judged query with its vector. */
export interface QueryVector extends JudgedQuery {
  /** Undefined in runs of reembed 0.1. */
  readonly text?: string | undefined
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

/** Reads the scores of a run with the queries of this hash; undefined if there are none. */
export const readEvaluation = (store: Store, run: string, hash: string): Promise<Evaluation | undefined> =>
  evaluations.read(store, evaluationKey(run, hash))

/** Writes the scores of a run, put-if-absent. */
export const putEvaluation = (
  store: Store,
  run: string,
  evaluation: Evaluation,
): Promise<'created' | 'exists'> =>
  evaluations.put(store, evaluationKey(run, evaluation.evaluation), evaluation)

const evaluations = objectKind<Evaluation>({
  noun: 'an evaluation that reembed wrote',
  shape: record<Evaluation>({ evaluation: filledText, scores: mapOf(list(finite)) }),
})

const reports = objectKind<GateReport>({
  noun: 'a gate report that reembed wrote',
  shape: record<GateReport>({
    evaluation: either(text, none),
    scores: mapOf(list(finite)),
    baseline: optional(
      record<NonNullable<GateReport['baseline']>>({ run: filledText, scores: mapOf(list(finite)) }),
    ),
    results: list(
      record<GateResult>({
        gate: text,
        passed: bool,
        message: text,
        judged: optional(bool),
        worse: optional(
          list(record<WorseQuery>({ query: text, text: optional(text), before: finite, after: finite })),
        ),
      }),
    ),
  }),
})

const queries = rowsKind<QueryVector>({
  noun: 'a list of query vectors that reembed wrote',
  shape: filled(
    record<QueryVector>({ id: text, text: optional(text), relevant: mapOf(finite), vector: filled(finite) }),
  ),
})
