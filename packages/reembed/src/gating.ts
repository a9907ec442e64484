// --gate: checks gates, queries and judgements when a run is planned, and embeds the queries with its model, so that
// whoever finds the run finished can judge it without an endpoint.

import { readFile } from 'node:fs/promises'
import type { Endpoint } from '@reembed/endpoint'
import { type JudgedQuery, needsQueries, parseGate, putQueries, type QueryVector } from '@reembed/evaluate'
import type { Plan, Recipe } from '@reembed/protocol'
import { truncateVectors } from '@reembed/shard'
import { canonical, messageOf, ReembedError, sha256 } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { CorpusFlags } from './options.ts'

export interface Query extends JudgedQuery {
  readonly text: string
}

export interface GateSetup extends Pick<Plan, 'gates' | 'evaluation' | 'queryPrompt'> {
  readonly queries: readonly Query[]
}

const QUERIES_PER_REQUEST = 16

/** Two runs with the same hash were asked the same and judged the same. */
export const hashOfQueries = (queries: readonly Query[]): string => sha256(canonical(queries))

/** @throws ReembedError USAGE naming file and line of what is wrong */
export async function gateSetupOf({
  gate: gates,
  gateQueries,
  gateQrels,
  queryPrompt,
}: CorpusFlags): Promise<GateSetup> {
  const wanted = (gates ?? []).map(parseGate).find(needsQueries)
  if (wanted && (gateQueries === undefined || gateQrels === undefined)) {
    throw new ReembedError('USAGE', `the gate '${wanted.text}' needs --gate-queries and --gate-qrels`)
  }
  const isJudged = wanted && gateQueries !== undefined && gateQrels !== undefined
  const queries = isJudged ? await readJudgedQueries(gateQueries, gateQrels) : []
  return {
    queries,
    ...(gates && { gates: gates.map(text => parseGate(text).text) }),
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

export async function embedQueries(
  queries: readonly Query[],
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

/** As BEIR has them: queries.jsonl with _id and text, qrels as TSV with a header. */
export async function readJudgedQueries(queriesFile: string, qrelsFile: string): Promise<Query[]> {
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
    throw new ReembedError('USAGE', `${where}: this is no JSON`)
  }
}
