// The answers of two runs to the same judged queries: which got worse, what each lost and gained.

import type { JudgedQuery, Manifest, QueryVector } from '@reembed/protocol'
import { readShard } from '@reembed/shard'
import { shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { ndcg, recall } from './evaluate.ts'
import { createNearest } from './nearest.ts'

/** A document that answers a query. */
export interface Answer {
  readonly id: string
  /** Cosine, -1 to 1. */
  readonly score: number
  readonly shard: number
  /** Whether the judgements have it as relevant. */
  readonly relevant: boolean
}

/** The answers to one query, best first. */
export interface Answered {
  readonly answers: readonly Answer[]
  /** By the judgements, over the answers. */
  readonly recall: number
  readonly ndcg: number
}

/** A query with its answers in both runs. */
export interface QueryChange {
  readonly query: string
  /** Undefined in runs of reembed 0.1. */
  readonly text: string | undefined
  readonly before: Answered
  readonly after: Answered
  /** Number of documents among both answers. */
  readonly common: number
}

/**
 * The nearest documents to each query, over all rows of a run. Reads every shard; holds the ids of
 * the documents found so far.
 * @throws the signal's reason
 */
export async function answerQueries(
  store: Store,
  { run, shards, model }: Manifest,
  queries: readonly QueryVector[],
  top: number,
  signal?: AbortSignal,
): Promise<Answered[]> {
  const nearest = createNearest(
    queries.map(({ vector }) => Float32Array.from(vector)),
    top,
    signal,
  )
  let names = new Map<number, { readonly id: string; readonly shard: number }>()
  let row = 0
  for (let shard = 0; shard < shards; shard += 1) {
    for await (const { ids, vectors } of readShard(store, shardKey(run, shard, shards), { signal })) {
      await nearest.add(vectors, model.dimensions)
      const kept = new Map<number, { readonly id: string; readonly shard: number }>()
      for (const { row: found } of nearest.hits().flat()) {
        const name = names.get(found) ?? { id: ids[found - row] ?? '', shard }
        kept.set(found, name)
      }
      names = kept
      row += ids.length
    }
  }
  return nearest.hits().map((hits, i) => {
    const query = queries[i]
    const answers = hits.map(({ row: found, score }): Answer => {
      const { id = '', shard = 0 } = names.get(found) ?? {}
      return { id, score, shard, relevant: (query?.relevant[id] ?? 0) > 0 }
    })
    return answered(query, answers, top)
  })
}

function answered(query: JudgedQuery | undefined, answers: readonly Answer[], top: number): Answered {
  const ids = answers.map(({ id }) => id)
  if (query === undefined) return { answers, recall: 1, ndcg: 1 }
  return { answers, recall: recall(query, ids, top), ndcg: ndcg(query, ids, top) }
}

/** The queries in order of what they lost: nDCG first, then recall, then answers in common. */
export function worstFirst(
  queries: readonly Pick<QueryVector, 'id' | 'text'>[],
  before: readonly Answered[],
  after: readonly Answered[],
): QueryChange[] {
  const changes = queries.flatMap(({ id, text }, i): QueryChange[] => {
    const [old, fresh] = [before[i], after[i]]
    if (old === undefined || fresh === undefined) return []
    const ids = new Set(old.answers.map(answer => answer.id))
    const common = fresh.answers.filter(answer => ids.has(answer.id)).length
    return [{ query: id, text, before: old, after: fresh, common }]
  })
  const lost = ({ before: old, after: fresh }: QueryChange): [number, number] => [
    old.ndcg - fresh.ndcg,
    old.recall - fresh.recall,
  ]
  return changes.sort((a, b) => {
    const [[ndcgA, recallA], [ndcgB, recallB]] = [lost(a), lost(b)]
    return ndcgB - ndcgA || recallB - recallA || a.common - b.common
  })
}
