// Evaluates a run with the user's queries: recall@k and nDCG@k by the relevance judgements (qrels),
// over all rows. The model of the run embeds the queries when the run is planned, and the vectors
// are stored with the run, so a later evaluation needs no endpoint.

import type { JudgedQuery, Manifest, QueryVector, Scores } from '@reembed/protocol'
import { readShard } from '@reembed/shard'
import { shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { createNearest } from './nearest.ts'

export interface RunScores {
  readonly scores: Scores
  /** Number of documents in the qrels. */
  readonly judged: number
  /** Number of documents in the qrels that are not in the run. */
  readonly missing: number
}

/**
 * Evaluates all rows of a run with these queries. Reads every shard.
 * @param cutoffs the ranks k of recall@k and nDCG@k
 * @throws the signal's reason
 */
export async function evaluate(
  store: Store,
  { run, shards, model }: Manifest,
  queries: readonly QueryVector[],
  cutoffs: readonly number[],
  signal?: AbortSignal,
): Promise<RunScores> {
  const nearest = nearestTo(queries, cutoffs, signal)
  const judged = new Set(queries.flatMap(({ relevant }) => Object.keys(relevant)))
  /** Ids by row, only of documents in the qrels: no other id affects a score. */
  const names = new Map<number, string>()
  let row = 0
  for (let shard = 0; shard < shards; shard += 1) {
    for await (const { ids, vectors } of readShard(store, shardKey(run, shard, shards), { signal })) {
      for (const [i, id] of ids.entries()) if (judged.has(id)) names.set(row + i, id)
      await nearest.add(vectors, model.dimensions)
      row += ids.length
    }
  }
  const found = nearest.found().map(rows => rows.map(hit => names.get(hit)))
  return {
    scores: scoresOf(queries, found, cutoffs),
    judged: judged.size,
    missing: judged.size - names.size,
  }
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

/** Share of a query's relevant documents that are among the first k; 1 for a query without any. */
export function recall({ relevant }: JudgedQuery, ids: readonly (string | undefined)[], k: number): number {
  const wanted = Object.values(relevant).filter(score => score > 0).length
  const hits = ids.slice(0, k).filter(id => id !== undefined && (relevant[id] ?? 0) > 0).length
  return wanted === 0 ? 1 : hits / wanted
}

/** Discounted gain relative to the ideal order. Gain is linear, as in ndcg_cut of trec_eval. */
export function ndcg({ relevant }: JudgedQuery, ids: readonly (string | undefined)[], k: number): number {
  const gain = (scores: readonly number[]): number =>
    scores.slice(0, k).reduce((sum, score, rank) => sum + Math.max(0, score) / Math.log2(rank + 2), 0)
  const ideal = gain(Object.values(relevant).sort((a, b) => b - a))
  return ideal === 0 ? 1 : gain(ids.map(id => (id === undefined ? 0 : (relevant[id] ?? 0)))) / ideal
}

/**
 * Mean of `before - after` over queries, with the 95 % interval of a paired bootstrap.
 * Deterministic: equal scores give an equal interval.
 */
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
  return { drop: drops.reduce((sum, drop) => sum + drop, 0) / n, low: at(0.025), high: at(0.975) }
}

const RESAMPLES = 2_000

/** A deterministic sequence of numbers in [0, 1) (mulberry32). */
function random(): () => number {
  let state = 0x9e3779b9
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
