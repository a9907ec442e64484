// The answers of two runs to the same judged queries: which got worse, what each lost and gained.

import type {
  Answer,
  Answered,
  JudgedComparison,
  JudgedQuery,
  Manifest,
  QueryChange,
  QueryVector,
  ScorePair,
} from '@reembed/protocol'
import { readShard } from '@reembed/shard'
import { shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { ndcg, pairedDrop, recall } from './evaluate.ts'
import { createNearest } from './nearest.ts'
import { mean, type Rows } from './rows.ts'
import type { ScoredResult } from './thresholds.ts'

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

/**
 * The nearest documents to each query within a sample: with fewer competing documents, scores are
 * higher than over the whole run.
 * @param shardOf the shard of a document in the run that has it
 */
export async function answerRows(
  { ids, vectors, dimensions }: Rows,
  queries: readonly QueryVector[],
  top: number,
  shardOf: (id: string) => number,
): Promise<Answered[]> {
  const nearest = createNearest(
    queries.map(({ vector }) => Float32Array.from(vector)),
    top,
  )
  await nearest.add(vectors, dimensions)
  return nearest.hits().map((hits, i) => {
    const query = queries[i]
    const answers = hits.map(({ row, score }): Answer => {
      const id = ids[row] ?? ''
      return { id, score, shard: shardOf(id), relevant: (query?.relevant[id] ?? 0) > 0 }
    })
    return answered(query, answers, top)
  })
}

/** How both answer the same queries. */
export function judgeAnswers(
  queries: readonly Pick<QueryVector, 'id' | 'text'>[],
  before: readonly Answered[],
  after: readonly Answered[],
  top: number,
): JudgedComparison {
  const pair = (score: 'recall' | 'ndcg'): ScorePair => {
    const [x, y] = [before.map(each => each[score]), after.map(each => each[score])]
    return { before: mean(x), after: mean(y), drop: pairedDrop(x, y) }
  }
  const changes = worstFirst(queries, before, after)
  return {
    queries: queries.length,
    top,
    recall: pair('recall'),
    ndcg: pair('ndcg'),
    worse: changes.filter(isWorse).length,
    better: changes.filter(change => change.after.ndcg > change.before.ndcg).length,
    changes,
  }
}

const isWorse = ({ before, after }: QueryChange): boolean =>
  after.ndcg < before.ndcg || after.recall < before.recall

/** The results of all queries, to refit thresholds by. */
export const resultsOf = (changes: readonly QueryChange[]): [ScoredResult[], ScoredResult[]] => [
  changes.flatMap(({ before }) => before.answers),
  changes.flatMap(({ after }) => after.answers),
]

function answered(query: JudgedQuery | undefined, answers: readonly Answer[], top: number): Answered {
  const ids = answers.map(({ id }) => id)
  if (query === undefined) return { answers, recall: 1, ndcg: 1 }
  return { answers, recall: recall(query, ids, top), ndcg: ndcg(query, ids, top) }
}

/** The queries in order of what they lost: nDCG first, then recall, then answers in common. */
function worstFirst(
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
