// The plan of a run: what it shall hold. Written once, before any job. The head (plan.json) is small whatever the
// corpus; the slices stand in segments of fixed length, so one slice is found by reading one segment.

import {
  bool,
  count,
  either,
  format1,
  is,
  list,
  none,
  object,
  oneOf,
  optional,
  planKey,
  planSegmentKey,
  positive,
  ReembedError,
  record,
  requireShape,
  type Shape,
  text,
} from '@reembed/shared'
import { getJson, type Store } from '@reembed/store'
import {
  type CarriedColumn,
  type CarriedType,
  type Chunking,
  type FieldMapping,
  FORMATS,
  type Slice,
  type SlicePart,
} from './corpus.ts'
import type { Dtype, ShardLayout } from './layout.ts'
import type { Quote } from './quote.ts'
import { type ModelIdentity, modelShape } from './receipt.ts'
import { readSegment } from './segment.ts'

/** Everything that decides what a document's vector will be. */
export interface Recipe {
  readonly model: ModelIdentity
  /** Put in front of every document's text, as the model card asks. */
  readonly prompt: string
  readonly fields: FieldMapping | null
  /** The text is made of these fields instead of being `fields.text`. */
  readonly template?: string
  /** How documents are cut into chunks, if they are. */
  readonly chunking?: Chunking
  readonly truncate: boolean
  readonly dtype: Dtype
  /** Dimensions of the model's own vectors, where `model.dimensions` is fewer: the first ones, normalised again. */
  readonly nativeDimensions?: number | undefined
}

export interface Plan {
  readonly format: 1
  readonly run: string
  /** The run's place in the order of runs (`seq/<n>.json`). */
  readonly seq: number
  readonly spaceId: string
  readonly recipeId: string
  /** Where the corpus lies: an absolute folder or an s3:// URL. Keys of slices are relative to it. */
  readonly source: string
  readonly recipe: Recipe
  /** What shards hold beside id, vector and content hash. */
  readonly layout?: ShardLayout | undefined
  readonly shards: number
  readonly slicesPerSegment: number
  readonly objects: number
  readonly bytes: number
  /** Estimated from a sample; the receipts have the exact number. */
  readonly estimatedDocuments: number
  readonly snapshotSha256: string
  /** How the corpus was cut. The next version cuts alike, so that what did not change has the same slices. */
  readonly slicing?: { readonly sliceBytes: number; readonly maxParts: number } | undefined
  /** The finished run that unchanged texts take their vectors from; of the same recipe. Not part of the run's id. */
  readonly baseRun?: string | undefined
  /** The run whose rejects this one embeds again. */
  readonly retryOf?: string | undefined
  /** How many rejects the run may have and still be published by itself: '20' or '1%'. Not part of the run's id. */
  readonly maxRejects: string
  /** What it must show to be published by itself, a line each. Not part of its id, and neither is what follows. */
  readonly gates?: readonly string[] | undefined
  /** The queries and judgements that gates go by: their hash, and how many queries. */
  readonly evaluation?: { readonly sha256: string; readonly queries: number } | undefined
  /** Put in front of queries, as the model card asks. */
  readonly queryPrompt?: string | undefined
  /** What the run was said to take when it was planned. Not part of its id. */
  readonly quote?: Quote | undefined
}

/** The plan of a run, or undefined if this store has none. */
export async function readPlan(store: Store, run: string): Promise<Plan | undefined> {
  const found = await getJson(store, planKey(run))
  if (found === undefined) return undefined
  const what = `${planKey(run)} in ${store.url} is not a plan that this version of reembed can read`
  const plan = requireShape<Plan>(planShape, found, what)
  if (plan.run !== run) throw new ReembedError('CORRUPT', `${what}: it is of run ${plan.run}`)
  return plan
}

const CARRIED: readonly CarriedType[] = ['string', 'int32', 'int64', 'double', 'boolean']

const fieldsShape = record<FieldMapping>({ id: text, text })

export const layoutShape: Shape = record<ShardLayout>({
  carry: optional(list(record<CarriedColumn>({ name: text, type: oneOf(CARRIED) }))),
  chunked: optional(bool),
  text: optional(bool),
  arrowSchema: optional(bool),
})

const planShape = record<Plan>({
  format: format1,
  run: text,
  seq: count,
  spaceId: text,
  recipeId: text,
  source: text,
  recipe: record<Recipe>({
    model: modelShape,
    prompt: text,
    fields: either(none, fieldsShape),
    template: optional(text),
    chunking: optional(object),
    truncate: bool,
    dtype: text,
    nativeDimensions: optional(positive),
  }),
  layout: optional(layoutShape),
  shards: count,
  slicesPerSegment: positive,
  objects: count,
  bytes: count,
  estimatedDocuments: is(value => typeof value === 'number' && value >= 0),
  snapshotSha256: text,
  slicing: optional(object),
  baseRun: optional(text),
  retryOf: optional(text),
  maxRejects: text,
  gates: optional(list(text)),
  evaluation: optional(object),
  queryPrompt: optional(text),
  quote: optional(object),
})

const sliceShape = record<Slice>({
  parts: list(
    record<Pick<SlicePart, 'key' | 'etag' | 'size' | 'format' | 'start' | 'end' | 'extent'>>({
      key: text,
      etag: text,
      size: count,
      format: oneOf(FORMATS),
      start: count,
      end: count,
      extent: optional(count),
    }),
  ),
})

/** Like `readPlan`, but a run without a plan is an error that names what there is to do. */
export async function requirePlan(store: Store, run: string): Promise<Plan> {
  const plan = await readPlan(store, run)
  if (plan) return plan
  throw new ReembedError('RUN_NOT_FOUND', `there is no run ${run} in ${store.url}`, {
    reason: 'run_not_found',
  })
}

/** How many slices a segment holds: few when slices have many parts, so that a segment stays about 10 MB of JSON at most. */
export function slicesPerSegment(shards: number, objects: number): number {
  const partsPerSlice = (shards + objects) / Math.max(1, shards)
  return Math.max(16, Math.min(1_024, Math.floor(65_536 / partsPerSlice)))
}

/** The slices of one segment. */
export function readSliceSegment(store: Store, plan: Plan, segment: number): Promise<Slice[]> {
  return readSegment<Slice>(store, planSegmentKey(plan.run, segment), sliceShape, {
    segment,
    size: plan.slicesPerSegment,
    total: plan.shards,
    rowNoun: 'slices',
    owner: 'plan',
  })
}

/** All slices of a plan in shard order, holding one segment at a time. */
export async function* readSlices(store: Store, plan: Plan): AsyncGenerator<Slice, void, undefined> {
  for (let segment = 0; segment * plan.slicesPerSegment < plan.shards; segment += 1) {
    yield* await readSliceSegment(store, plan, segment)
  }
}
