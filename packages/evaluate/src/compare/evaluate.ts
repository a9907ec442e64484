// How well a run answers the user's own queries: recall@k and nDCG@k by the judgements of qrels, over all its rows.
// The queries' vectors lie with the run, made by its model when it was planned, so anybody can evaluate it later.

import {
  type JudgedQuery,
  type Manifest,
  type QueryVector,
  readQueries,
  type Scores,
} from '@reembed/protocol'
import { readShard } from '@reembed/shard'
import { queriesKey, shardKey } from '@reembed/shared'
import { putRows, type Store } from '@reembed/store'
import { createNearest } from './nearest.ts'
import type { Rows } from './rows.ts'

export const putQueries = (
  store: Store,
  run: string,
  queries: readonly QueryVector[],
): Promise<'created' | 'exists'> => putRows(store, queriesKey(run), queries)

export interface Evaluation {
  readonly scores: Scores
  /** Documents that the qrels name, and how many of them are not in the run. */
  readonly judged: number
  readonly missing: number
}

/**
 * @param cutoffs ranks to look at
 * @throws the signal's reason
 */
export async function evaluate(
  store: Store,
  { run, shards, model }: Manifest,
  cutoffs: readonly number[],
  signal?: AbortSignal,
): Promise<Evaluation> {
  const queries = await readQueries(store, run)
  const nearest = nearestTo(queries, cutoffs, signal)
  const judged = new Set(queries.flatMap(({ relevant }) => Object.keys(relevant)))
  /** Ids of the rows that any query names; the others need no name. */
  const names = new Map<number, string>()
  let row = 0
  for (let shard = 0; shard < shards; shard += 1) {
    for await (const { ids, vectors } of readShard(store, shardKey(run, shard, shards), { signal })) {
      for (const [i, id] of ids.entries()) if (judged.has(id)) names.set(row + i, id)
      await nearest.add(vectors, model.dimensions)
      row += ids.length
    }
  }
  const found = nearest.found().map(rows => rows.map(one => names.get(one)))
  return {
    scores: scoresOf(queries, found, cutoffs),
    judged: judged.size,
    missing: judged.size - names.size,
  }
}

/** The same over a sample of documents: fewer stand in a query's way, so scores are higher than over all. */
export async function evaluateRows(
  queries: readonly QueryVector[],
  { ids, vectors, dimensions }: Rows,
  cutoffs: readonly number[],
): Promise<Scores> {
  const nearest = nearestTo(queries, cutoffs)
  await nearest.add(vectors, dimensions)
  return scoresOf(
    queries,
    nearest.found().map(rows => rows.map(row => ids[row])),
    cutoffs,
  )
}

const nearestTo = (queries: readonly QueryVector[], cutoffs: readonly number[], signal?: AbortSignal) =>
  createNearest(
    queries.map(({ vector }) => Float32Array.from(vector)),
    Math.max(...cutoffs),
    signal,
  )

function scoresOf(
  queries: readonly QueryVector[],
  found: readonly (readonly (string | undefined)[])[],
  cutoffs: readonly number[],
): Scores {
  const score =
    (metric: (query: JudgedQuery, ids: readonly (string | undefined)[], k: number) => number) =>
    (k: number) =>
      queries.map((query, i) => metric(query, found[i] ?? [], k))
  return Object.fromEntries(
    cutoffs.flatMap(k => [
      [`recall@${k}`, score(recall)(k)],
      [`ndcg@${k}`, score(ndcg)(k)],
    ]),
  )
}

/** Share of a query's relevant documents among the first k. */
export function recall({ relevant }: JudgedQuery, ids: readonly (string | undefined)[], k: number): number {
  const wanted = Object.values(relevant).filter(score => score > 0).length
  const hits = ids.slice(0, k).filter(id => id !== undefined && (relevant[id] ?? 0) > 0).length
  return wanted === 0 ? 1 : hits / wanted
}

/** Gain by rank, against the best order there could be (linear gain, as trec_eval's ndcg_cut). */
export function ndcg({ relevant }: JudgedQuery, ids: readonly (string | undefined)[], k: number): number {
  const gain = (scores: readonly number[]): number =>
    scores.slice(0, k).reduce((sum, score, rank) => sum + Math.max(0, score) / Math.log2(rank + 2), 0)
  const ideal = gain(Object.values(relevant).sort((a, b) => b - a))
  return ideal === 0 ? 1 : gain(ids.map(id => (id === undefined ? 0 : (relevant[id] ?? 0)))) / ideal
}

/** Mean of a - b over queries, with the 95 % interval of a paired bootstrap. The same scores give the same interval. */
export function pairedDrop(
  before: readonly number[],
  after: readonly number[],
): { drop: number; low: number; high: number } {
  const drops = before.map((score, i) => score - (after[i] ?? 0))
  const n = drops.length
  const next = random()
  const means = Array.from({ length: RESAMPLES }, () => {
    let sum = 0
    for (let i = 0; i < n; i += 1) sum += drops[Math.floor(next() * n)] ?? 0
    return sum / n
  }).sort((a, b) => a - b)
  const at = (share: number): number => means[Math.floor(share * (RESAMPLES - 1))] ?? 0
  return { drop: drops.reduce((sum, one) => sum + one, 0) / n, low: at(0.025), high: at(0.975) }
}

const RESAMPLES = 2_000

/** Numbers from 0 to 1 that are the same each time (mulberry32). */
function random(): () => number {
  let state = 0x9e3779b9
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
