// Queries with judgements: what recall and ndcg are measured on.

import { readFile } from 'node:fs/promises'
import type { Endpoint } from '@reembed/endpoint'
import type { JudgedQuery, QueryVector, Recipe } from '@reembed/protocol'
import { truncateVectors } from '@reembed/shard'
import { canonical, messageOf, ReembedError, sha256 } from '@reembed/shared'

/** A query with the documents that are relevant to it. */
export interface EvaluationQuery extends JudgedQuery {
  readonly text: string
}

export interface JudgedQueryFiles {
  readonly queriesFile: string
  readonly qrelsFile: string
}

const QUERIES_PER_REQUEST = 16

/** Runs with the same hash have the same queries and judgements. */
export const hashOfQueries = (queries: readonly EvaluationQuery[]): string => sha256(canonical(queries))

/** Returns the queries, and reads them if they are given as files. */
export async function queriesOf(
  source: readonly EvaluationQuery[] | JudgedQueryFiles,
): Promise<readonly EvaluationQuery[]> {
  return 'queriesFile' in source ? readJudgedQueries(source.queriesFile, source.qrelsFile) : source
}

/** Embeds queries with the model and the dimensions of a run. */
export async function embedQueries(
  queries: readonly EvaluationQuery[],
  queryPrompt: string,
  endpoint: Endpoint,
  recipe: Recipe,
): Promise<QueryVector[]> {
  const { dimensions } = recipe.model
  const rows: QueryVector[] = []
  for (let from = 0; from < queries.length; from += QUERIES_PER_REQUEST) {
    const some = queries.slice(from, from + QUERIES_PER_REQUEST)
    const vectors = truncateVectors(
      await endpoint.embed(some.map(({ text }) => `${queryPrompt}${text}`.toWellFormed())),
      recipe,
    )
    for (const [i, { id, relevant }] of some.entries()) {
      rows.push({ id, relevant, vector: [...vectors.subarray(i * dimensions, (i + 1) * dimensions)] })
    }
  }
  return rows
}

/**
 * Reads queries and judgements in BEIR's files: JSONL with _id (or id) and text; TSV of query-id,
 * corpus-id and score, with or without a header.
 * @throws ReembedError USAGE with the file and the line.
 */
export async function readJudgedQueries(queriesFile: string, qrelsFile: string): Promise<EvaluationQuery[]> {
  const queries = new Map<string, { text: string; relevant: Record<string, number> }>()
  for (const [line, text] of await linesOf(queriesFile)) {
    const { id, _id = id, text: asked } = parse(text, `${queriesFile}:${line}`)
    if (typeof _id !== 'string' || typeof asked !== 'string' || asked.trim() === '') {
      throw new ReembedError('USAGE', `${queriesFile}:${line}: a query needs an id (or _id) and a text`)
    }
    queries.set(_id, { text: asked, relevant: Object.create(null) as Record<string, number> })
  }
  for (const [line, text] of await linesOf(qrelsFile)) {
    const [query = '', document, score] = text.split('\t')
    if (line === 1 && Number.isNaN(Number(score))) continue
    if (document === undefined || score === undefined || Number.isNaN(Number(score))) {
      throw new ReembedError(
        'USAGE',
        `${qrelsFile}:${line}: expected query-id, corpus-id and score with tabs between them`,
      )
    }
    const judged = queries.get(query)
    if (judged === undefined) {
      throw new ReembedError('USAGE', `${qrelsFile}:${line}: there is no query '${query}' in ${queriesFile}`)
    }
    judged.relevant[document] = Number(score)
  }
  const all = Array.from(queries, ([id, query]) => ({ id, ...query }))
  const usable = all.filter(({ relevant }) => Object.values(relevant).some(score => score > 0))
  if (usable.length > 0) return usable
  throw new ReembedError('USAGE', `${qrelsFile} has no relevant document for any query of ${queriesFile}`)
}

async function linesOf(file: string): Promise<[number, string][]> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new ReembedError('USAGE', `cannot read ${file}: ${messageOf(error)}`)
  })
  return text
    .split(/\r?\n/)
    .map((line, i): [number, string] => [i + 1, line])
    .filter(([, line]) => line.trim() !== '')
}

function parse(text: string, where: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text))
  } catch {
    throw new ReembedError('USAGE', `${where}: this is not JSON`)
  }
}
