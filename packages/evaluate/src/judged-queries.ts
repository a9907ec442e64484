// Queries with judgements: what recall and ndcg are measured on.

import type { Endpoint } from '@reembed/endpoint'
import type { JudgedQuery, QueryVector, Recipe } from '@reembed/protocol'
import { truncateVectors } from '@reembed/shard'
import { canonical, LIMITS, messageOf, ReembedError, readFileWithin, sha256 } from '@reembed/shared'
import { openStore, type S3Options } from '@reembed/store'

/** A query with the documents that are relevant to it. */
export interface EvaluationQuery extends JudgedQuery {
  readonly text: string
}

/** Files in a folder, or objects at s3://bucket/key. */
export interface JudgedQueryFiles {
  readonly queriesFile: string
  readonly qrelsFile: string
  readonly s3?: S3Options | undefined
}

const QUERIES_PER_REQUEST = 16

/** Runs with the same hash have the same queries and judgements. */
export const hashOfQueries = (queries: readonly EvaluationQuery[]): string => sha256(canonical(queries))

/** Returns the queries, and reads them if they are given as files. */
export async function queriesOf(
  source: readonly EvaluationQuery[] | JudgedQueryFiles,
): Promise<readonly EvaluationQuery[]> {
  return 'queriesFile' in source ? readJudgedQueries(source) : source
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
    for (const [i, { id, text, relevant }] of some.entries()) {
      rows.push({ id, text, relevant, vector: [...vectors.subarray(i * dimensions, (i + 1) * dimensions)] })
    }
  }
  return rows
}

/**
 * Reads queries and judgements in BEIR's files: JSONL with _id (or id) and text; TSV of query-id,
 * corpus-id and score, with or without a header.
 * @throws ReembedError USAGE with the file and the line.
 */
export async function readJudgedQueries({
  queriesFile,
  qrelsFile,
  s3,
}: JudgedQueryFiles): Promise<EvaluationQuery[]> {
  const queries = new Map<string, { text: string; relevant: Record<string, number> }>()
  for (const [line, text] of await linesOf(queriesFile, s3)) {
    const { id, _id = id, text: asked } = parse(text, `${queriesFile}:${line}`)
    if (typeof _id !== 'string' || typeof asked !== 'string' || asked.trim() === '') {
      throw new ReembedError('USAGE', `${queriesFile}:${line}: a query needs an id (or _id) and a text`)
    }
    queries.set(_id, { text: asked, relevant: Object.create(null) as Record<string, number> })
  }
  for (const [line, text] of await linesOf(qrelsFile, s3)) {
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

const MAX_BYTES = LIMITS.queriesBytes

async function linesOf(file: string, s3: S3Options | undefined): Promise<[number, string][]> {
  const text = await readWhole(file, s3).catch((error: unknown) => {
    if (error instanceof ReembedError && error.code !== 'CORRUPT') throw error
    throw new ReembedError('USAGE', `cannot read ${file}: ${messageOf(error)}`, { option: 'gates.queries' })
  })
  // One line at a time: a file of empty lines would become millions of strings.
  const lines: [number, string][] = []
  for (let [number, start] = [1, 0]; start < text.length; number += 1) {
    const end = text.indexOf('\n', start)
    const line = text.slice(start, end < 0 ? text.length : end).replace(/\r$/, '')
    if (line.trim() !== '') lines.push([number, line])
    start = end < 0 ? text.length : end + 1
  }
  return lines
}

async function readWhole(file: string, s3: S3Options | undefined): Promise<string> {
  if (!file.startsWith('s3://')) return String(await readFileWithin(file, MAX_BYTES))
  const slash = file.lastIndexOf('/')
  const key = file.slice(slash + 1)
  await using folder = await openStore(file.slice(0, slash), { s3 })
  const found = await folder.head(key)
  if (found && found.size > MAX_BYTES)
    throw new Error(`it has ${found.size} bytes, at most ${MAX_BYTES} are read`)
  return Buffer.from(await folder.get(key)).toString()
}

function parse(text: string, where: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text))
  } catch {
    throw new ReembedError('USAGE', `${where}: this is not JSON`)
  }
}
