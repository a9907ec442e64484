// Embeds a sample of the corpus with another model and compares it with the current version:
// neighbours, answers to queries, health. Writes nothing.

import { type Endpoint, type EndpointResolver, openProber, type ResolvedEndpoint } from '@reembed/endpoint'
import {
  comparePreview,
  type EvaluationQuery,
  embedQueries,
  type Health,
  healthOf,
  type JudgedQueryFiles,
  locateRows,
  orderByIdHash,
  type PreviewComparison,
  queriesOf,
  type Rows,
  readRowsById,
  textsOf,
} from '@reembed/evaluate'
import { type Document, type Manifest, type Plan, type Recipe, requirePlan } from '@reembed/protocol'
import { requireManifest } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import type { S3Options, Store } from '@reembed/store'
import type { Corpus } from './corpus.ts'
import { nonEmptyDocuments } from './estimate/estimate.ts'
import { sampleInputs } from './estimate/sample-inputs.ts'
import { findRun } from './find-run.ts'
import type { PlanNotice, PlanOptions } from './options.ts'
import { type PlannedCorpus, planCorpus } from './plan-corpus.ts'

/** Embeds documents as a worker would. `embedDocuments` of @reembed/worker implements it. */
export type EmbedDocuments = (
  endpoint: Endpoint,
  documents: readonly Document[],
  recipe: Recipe,
) => Promise<{ readonly rows: Rows; readonly refused: number; readonly tokens: number | null }>

export type PreviewNotice =
  | PlanNotice
  /** The qrels judge more documents than the preview embeds. */
  | { readonly kind: 'answers_limited'; readonly used: number; readonly total: number }
  /**
   * The judged documents cannot be read from the corpus any more: queries are evaluated on the
   * sample alone.
   */
  | { readonly kind: 'answers_unreadable'; readonly error: unknown }

export interface PreviewRequest {
  /** The output with the current version to compare with. */
  readonly output: Store
  readonly embedDocuments: EmbedDocuments
  /** '1%' of the documents, 500 at least, or a count like '2000'; 20,000 at most. */
  readonly sample: string
  /** Number of nearest neighbours to compare per document. */
  readonly top: number
  readonly queries?: readonly EvaluationQuery[] | JudgedQueryFiles | undefined
  readonly s3?: S3Options | undefined
  readonly onNotice?: ((notice: PreviewNotice) => void) | undefined
}

export interface ModelPreview extends PreviewComparison {
  readonly current: Manifest
  readonly planned: PlannedCorpus
  /** Documents in the sample. */
  readonly sampled: number
  /** Of these: not in the current version. */
  readonly unknown: number
  /** Documents that the model refused. */
  readonly refused: number
  /** Documents outside the sample that answer queries. */
  readonly answers: number
  readonly tokens: number | null
  /** Of the current version and of the sample with the new model. */
  readonly health: readonly [Health, Health]
  /** Number of documents in the qrels, and how many of them are not in the current version. */
  readonly judgedDocuments: number
  readonly missing: number
}

/**
 * With a smaller sample the comparison of neighbours means little; a larger one would not fit into
 * memory.
 */
const [MIN_SAMPLE, MAX_SAMPLE] = [500, 20_000]
const NEIGHBOURS_OF = 200
/** Maximum number of judged documents that are embedded in addition to the sample. */
const MAX_ANSWERS = 5_000

/**
 * Embeds a sample with the endpoint's model, compares it with the current version and quotes the
 * whole run.
 * @throws ReembedError RUN_NOT_FOUND when nothing is published, USAGE for a sample that is too
 * small to compare.
 */
export async function previewModel(
  corpus: Corpus,
  given: ResolvedEndpoint | EndpointResolver,
  options: PlanOptions,
  request: PreviewRequest,
): Promise<ModelPreview> {
  const { output, top, onNotice } = request
  const current = await requireManifest(output, await findRun(output, undefined, 'current'))
  const queries = await queriesOf(request.queries ?? [])
  const planned = await planCorpus(corpus, given, options, { previousOutput: output, onNotice })
  const { recipe } = planned.head
  const sampled = await sampleOf(corpus, planned, request.sample)
  const judged = new Set(queries.flatMap(({ relevant }) => Object.keys(relevant)))
  const located = await locateRows(output, current, new Set([...sampled.keys(), ...judged]))
  const known = [...sampled.values()].filter(({ id }) => located.has(id))
  if (known.length <= top) {
    throw new ReembedError(
      'USAGE',
      `${known.length} of ${sampled.size} sampled documents are in run ${current.run}, too few to compare ${top} neighbours: raise the sample or lower the number of neighbours`,
      { option: 'sample' },
    )
  }
  const answers = await answersOf(request, { current, recipe, judged, sampled, located })

  const { truncate = true } = options
  const { url, options: endpointOptions } = planned.endpoint
  await using endpoint = await openProber(url, { ...endpointOptions, truncate })
  const documents = orderByIdHash([...known, ...answers])
  onNotice?.({ kind: 'progress', step: 'embedding_sample', done: 0 })
  const { rows: after, refused, tokens } = await request.embedDocuments(endpoint, documents, recipe)
  const before = await readRowsById(output, current, after.ids, located)
  return {
    current,
    planned,
    sampled: sampled.size,
    unknown: sampled.size - known.length,
    refused,
    answers: answers.length,
    tokens,
    health: [healthOf(before, current.totals.rows), healthOf(after, after.ids.length)],
    ...(await comparePreview(output, current, {
      queries,
      asked:
        queries.length === 0 ? [] : await embedQueries(queries, options.queryPrompt ?? '', endpoint, recipe),
      before,
      after,
      top,
      neighboursOf: NEIGHBOURS_OF,
      sameSpace: current.spaceId === planned.head.spaceId,
      shardOf: id => located.get(id) ?? 0,
    })),
    judgedDocuments: judged.size,
    missing: [...judged].filter(id => !located.has(id)).length,
  }
}

/** Documents of the sample by id. */
async function sampleOf(
  corpus: Corpus,
  planned: PlannedCorpus,
  sample: string,
): Promise<Map<string, Document>> {
  const wanted = sample.endsWith('%')
    ? Math.max(MIN_SAMPLE, Math.ceil((Number.parseFloat(sample) / 100) * planned.head.estimatedDocuments))
    : Number(sample)
  const { clusters } = await sampleInputs(corpus, planned, {
    tokenizer: planned.tokenizer,
    documents: Math.min(MAX_SAMPLE, wanted),
  })
  const documents = nonEmptyDocuments(clusters.flatMap(cluster => cluster.documents))
  return new Map(documents.map(document => [document.id, document]))
}

/**
 * The judged documents that are not in the sample, read from the corpus at the positions that the
 * current version records.
 */
async function answersOf(
  { output, s3 = {}, onNotice }: PreviewRequest,
  {
    current,
    recipe,
    judged,
    sampled,
    located,
  }: {
    readonly current: Manifest
    readonly recipe: Recipe
    readonly judged: ReadonlySet<string>
    readonly sampled: ReadonlyMap<string, Document>
    readonly located: ReadonlyMap<string, number>
  },
): Promise<Document[]> {
  const wanted = [...judged]
    .filter(id => !sampled.has(id))
    .flatMap(id => {
      const shard = located.get(id)
      return shard === undefined ? [] : [{ id, score: 0, shard }]
    })
  if (wanted.length > MAX_ANSWERS)
    onNotice?.({ kind: 'answers_limited', used: MAX_ANSWERS, total: wanted.length })
  const plan: Plan = { ...(await requirePlan(output, current.run)), recipe }
  try {
    const texts = await textsOf(wanted.slice(0, MAX_ANSWERS), output, plan, s3)
    const position = { part: 0, offset: 0 }
    return Array.from(texts, ([id, text]) => ({ kind: 'document', id, text, position }))
  } catch (error) {
    onNotice?.({ kind: 'answers_unreadable', error })
    return []
  }
}
