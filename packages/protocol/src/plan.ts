// The plan of a run. It is written once, before any job. The head (plan.json) is small for any
// corpus. Slices are in segments of fixed length, so reading one slice reads one segment.

import {
  amount,
  bool,
  count,
  either,
  filledText,
  format1,
  is,
  LIMITS,
  list,
  none,
  oneOf,
  optional,
  planKey,
  planSegmentKey,
  positive,
  ReembedError,
  record,
  type Shape,
  text,
} from '@reembed/shared'
import { objectKind, rowsKind, type Store } from '@reembed/store'
import {
  CARRIED_TYPES,
  type CarriedColumn,
  type Chunking,
  chunkingShape,
  type FieldMapping,
  type Slice,
  type SourceTable,
  sliceShape,
  sourceTableShape,
} from './corpus.ts'
import { DTYPES, type Dtype, type ShardLayout } from './layout.ts'
import { type Quote, quoteShape, type TextEstimate, textsShape } from './quote.ts'
import { type ModelIdentity, modelShape } from './receipt.ts'
import { readSegment } from './segment.ts'

/** Everything that determines the vector of a document. */
export interface Recipe {
  readonly model: ModelIdentity
  /** Prefix of every document's text, as the model card requires. */
  readonly prompt: string
  readonly fields: FieldMapping | null
  /** Template that builds the text from fields; it replaces `fields.text`. */
  readonly template?: string
  /** How documents are cut into chunks, if at all. */
  readonly chunking?: Chunking
  readonly truncate: boolean
  readonly dtype: Dtype
  /**
   * Dimensions of the model's vectors if `model.dimensions` is smaller: vectors are truncated, then
   * normalised.
   */
  readonly nativeDimensions?: number | undefined
}

export interface Plan {
  readonly format: 1
  readonly run: string
  /** The sequence number of the run (`seq/<n>.json`). */
  readonly seq: number
  readonly spaceId: string
  readonly recipeId: string
  /** URL of the corpus: an absolute folder, s3:// or hf://. Keys of slices are relative to it. */
  readonly source: string
  /** Set if the corpus is a table that is read by its log. Not part of the run id. */
  readonly table?: SourceTable | undefined
  readonly recipe: Recipe
  /** The columns of shards besides id, vector and content hash. */
  readonly layout?: ShardLayout | undefined
  readonly shards: number
  readonly slicesPerSegment: number
  readonly objects: number
  readonly bytes: number
  /** Estimate from a sample; the receipts have the exact number. */
  readonly estimatedDocuments: number
  readonly snapshotSha256: string
  /**
   * How the corpus is cut. The next version uses the same slicing, so that unchanged data has the
   * same slices.
   */
  readonly slicing?: { readonly sliceBytes: number; readonly maxParts: number } | undefined
  /**
   * The finished run of the same recipe whose vectors are reused for unchanged texts. Not part of
   * the run id.
   */
  readonly baseRun?: string | undefined
  /**
   * Unfinished runs of the same recipe, newest first, whose shards are reused before those of
   * `baseRun`. Not part of the run id.
   */
  readonly unfinishedBaseRuns?: readonly string[] | undefined
  /** The run whose rejects this run retries. */
  readonly retryOf?: string | undefined
  /** Maximum rejects for automatic publication: '20' or '1%'. Not part of the run id. */
  readonly maxRejects: string
  /**
   * Gates for automatic publication, one per line. This and the following fields are not part of
   * the run id.
   */
  readonly gates?: readonly string[] | undefined
  /** Hash of the queries and judgements of the gates, and the number of queries. */
  readonly evaluation?: { readonly sha256: string; readonly queries: number } | undefined
  /** Prefix of queries, as the model card requires. */
  readonly queryPrompt?: string | undefined
  /** The estimate at plan time. */
  readonly quote?: Quote | undefined
  /** The texts in tokens of the model, estimated at plan time. Not part of the run id. */
  readonly texts?: TextEstimate | undefined
  /**
   * Maximum share of the text that the model may leave unread for automatic publication: '1%'. Not
   * part of the run id.
   */
  readonly maxTruncated?: string | undefined
}

/** The estimated number of documents, or of chunks: of what receipts and progress count. */
export const estimatedInputs = ({ recipe, texts, estimatedDocuments }: Plan): number =>
  recipe.chunking && texts ? texts.inputs : estimatedDocuments

/**
 * Reads the plan of a run; undefined if the store has none.
 * @throws ReembedError CORRUPT if the object is not a valid plan of this run
 */
export const readPlan = (store: Store, run: string): Promise<Plan | undefined> =>
  plans.read(store, planKey(run))

/** Writes the head of a plan, put-if-absent. Its segments must exist before. */
export async function putPlan(store: Store, plan: Plan): Promise<'created' | 'exists'> {
  await store.reserve?.()
  return plans.put(store, planKey(plan.run), plan)
}

/** Writes one segment of the slices of a plan, put-if-absent. */
export const putSliceSegment = (
  store: Store,
  run: string,
  segment: number,
  rows: readonly Slice[],
): Promise<'created' | 'exists'> => slices.put(store, planSegmentKey(run, segment), rows)

/** All runs whose vectors the run reuses, in the order in which they are searched. */
export const baseRunsOf = ({
  baseRun,
  unfinishedBaseRuns = [],
}: Pick<Plan, 'baseRun' | 'unfinishedBaseRuns'>): readonly string[] =>
  baseRun === undefined ? unfinishedBaseRuns : [...unfinishedBaseRuns, baseRun]

export const fieldsShape: Shape = record<FieldMapping>({ id: text, text })

const carriedShape = record<CarriedColumn>({
  name: text,
  type: oneOf(CARRIED_TYPES),
  from: optional(text),
  strict: optional(bool),
})

export const layoutShape: Shape = record<ShardLayout>({
  carry: optional(list(carriedShape)),
  chunked: optional(bool),
  text: optional(bool),
  arrowSchema: optional(bool),
})

const shardCount: Shape = is(
  value => Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= LIMITS.shards,
)

const planShape = record<Plan>({
  format: format1,
  run: filledText,
  seq: count,
  spaceId: filledText,
  recipeId: filledText,
  source: filledText,
  table: optional(sourceTableShape),
  recipe: record<Recipe>({
    model: modelShape,
    prompt: text,
    fields: either(none, fieldsShape),
    template: optional(text),
    chunking: optional(chunkingShape),
    truncate: bool,
    dtype: oneOf(DTYPES),
    nativeDimensions: optional(positive),
  }),
  layout: optional(layoutShape),
  shards: shardCount,
  slicesPerSegment: positive,
  objects: count,
  bytes: count,
  estimatedDocuments: amount,
  snapshotSha256: text,
  slicing: optional(record<NonNullable<Plan['slicing']>>({ sliceBytes: amount, maxParts: amount })),
  baseRun: optional(text),
  unfinishedBaseRuns: optional(list(text)),
  retryOf: optional(text),
  maxRejects: text,
  gates: optional(list(text)),
  evaluation: optional(record<NonNullable<Plan['evaluation']>>({ sha256: filledText, queries: positive })),
  queryPrompt: optional(text),
  quote: optional(quoteShape),
  texts: optional(textsShape),
  maxTruncated: optional(text),
})

const plans = objectKind<Plan>({
  noun: 'a plan that this version of reembed can read',
  shape: planShape,
  check: ({ run }, key) => (planKey(run) === key ? undefined : `it belongs to run ${run}`),
})

const slices = rowsKind<Slice>({ noun: 'a list of slices that reembed wrote', shape: list(sliceShape) })

/**
 * Like `readPlan`, for a plan that must exist.
 * @throws ReembedError RUN_NOT_FOUND if the store has no plan of the run
 */
export async function requirePlan(store: Store, run: string): Promise<Plan> {
  const plan = await readPlan(store, run)
  if (plan) return plan
  throw new ReembedError('RUN_NOT_FOUND', `there is no run ${run} in ${store.url}`, {
    reason: 'run_not_found',
  })
}

/**
 * Returns the number of slices per segment: fewer when slices have many parts, so that a segment is
 * at most about 10 MB of JSON.
 */
export function slicesPerSegment(shards: number, objects: number): number {
  const partsPerSlice = (shards + objects) / Math.max(1, shards)
  return Math.max(1, Math.min(1_024, Math.floor(65_536 / partsPerSlice)))
}

/**
 * Checks that the plan has the slices that it states, by its last segment, before their jobs are
 * enqueued. @throws ReembedError CORRUPT, ObjectNotFound
 */
export async function requireSlices(store: Store, plan: Plan): Promise<void> {
  if (plan.shards > 0) await readSliceSegment(store, plan, Math.ceil(plan.shards / plan.slicesPerSegment) - 1)
}

/** Reads the slices of one segment. */
export function readSliceSegment(store: Store, plan: Plan, segment: number): Promise<Slice[]> {
  return readSegment<Slice>(store, planSegmentKey(plan.run, segment), slices, {
    segment,
    size: plan.slicesPerSegment,
    total: plan.shards,
    rowNoun: 'slices',
    owner: 'plan',
  })
}

/** Yields the slices of a plan in shard order. Memory holds one segment. */
export async function* readSlices(store: Store, plan: Plan): AsyncGenerator<Slice, void, undefined> {
  for (let segment = 0; segment * plan.slicesPerSegment < plan.shards; segment += 1) {
    yield* await readSliceSegment(store, plan, segment)
  }
}
