// Plans a run from a listing and a sample of records. Writes nothing. Deterministic: the same
// corpus, model and options give the same plan and the same run id in every process.

import {
  type Chunking,
  type Dtype,
  type FieldMapping,
  type ModelIdentity,
  type Recipe,
  recipeIdOf,
  runIdOf,
  type ShardLayout,
  type Slice,
  spaceIdOf,
} from '@reembed/protocol'
import { type Consumer, extraColumns } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import type { BaseRunResult, RecipeIds } from './base-run.ts'
import { requireConsumers } from './consumers.ts'
import type { Corpus } from './corpus.ts'
import { createObjectIndexer } from './index-objects.ts'
import { type InspectedCorpus, inspectCorpus } from './inspect-corpus.ts'
import { DEFAULT_MAX_REJECTS } from './publish-limits.ts'
import type { PlannedRun, RunLookup } from './record-plan.ts'
import { createDecompressionCounter, type RepeatedDecompression } from './repeated-decompression.ts'
import type { Sample } from './sample.ts'
import { chooseSlicing, keepSlicing, type Slicing, slices } from './slice.ts'
import type { ObjectExamples, Survey } from './survey.ts'

export interface PlanRequest {
  readonly model: ModelIdentity
  /** Text put in front of every document, as the model card asks. */
  readonly prompt?: string | undefined
  /** Id and text field of records; fields that are not named are chosen from a sample. */
  readonly fields?: Partial<FieldMapping> | undefined
  /** Template that makes each text of several fields, '{{ title }}\\n\\n{{ text }}'. */
  readonly template?: string | undefined
  /** Fields that go into the shards as columns: 'lang', or with its type 'year:int32'. */
  readonly carry?: readonly string[] | undefined
  /**
   * Cuts documents into chunks; the tokenizer must be in the output already. A function decides
   * from the listing.
   */
  readonly chunking?: Chunking | ((found: Survey) => Promise<Chunking | undefined>) | undefined
  /** Whether texts over the model's limit are cut (default); else they become rejects. */
  readonly truncate?: boolean | undefined
  /** Number of leading dimensions to keep of each vector, normalised again. */
  readonly dimensions?: number | undefined
  readonly dtype?: Dtype | undefined
  /** Columns of shards in addition to id, vector and content hash. */
  readonly layout?: ShardLayout | undefined
  /**
   * About how many documents a shard holds; fewer if their vectors would exceed 64 MiB. Default:
   * 4,096, fewer for a small corpus and more for one of more than 8 million.
   */
  readonly documentsPerShard?: number | undefined
  /** What will load the run: its limits are checked against the sample. */
  readonly consumers?: readonly Consumer[] | undefined
  /** See Plan.maxRejects. */
  readonly maxRejects?: string | undefined
  /**
   * Finds the base runs, whose unchanged vectors are reused. Not given: no reuse. False: no reuse,
   * and the run id differs from that of the run with reuse.
   */
  readonly findBaseRun?: ((recipe: RecipeIds) => Promise<BaseRunResult>) | false | undefined
  /**
   * Finds the run in the output: see `lookUpRun`. If the output has its plan, the objects are not
   * indexed again.
   */
  readonly lookUpRun?: ((run: string) => Promise<RunLookup>) | undefined
  /** Called with what planning does, and how far it is. */
  readonly onProgress?:
    | ((step: 'listing' | 'sampling' | 'copying' | 'slicing', done: number) => void)
    | undefined
  /** The corpus, if it was inspected before. */
  readonly inspected?: InspectedCorpus | undefined
  readonly signal?: AbortSignal | undefined
}

/** A request whose chunking is decided. */
type FixedRequest = PlanRequest & { readonly chunking?: Chunking | undefined }

/** A plan to be recorded, and the facts found while planning. */
export interface PlanResult extends PlannedRun {
  readonly sample: Sample
  readonly skipped: ObjectExamples
  readonly mixedInFiles: ObjectExamples
  readonly empty: ObjectExamples
  readonly baseRun: BaseRunResult
  /** The compressed object that its slices decompress most often, if that is often. */
  readonly repeatedDecompression?: RepeatedDecompression | undefined
}

/** Average for English. Used only to estimate the number of chunks. */
const CHARS_PER_TOKEN = 3.5
/** Shards between two reports of progress. */
const REPORTED = 1_000

/**
 * Plans a run. Holds at most 100,000 objects and one slice in memory, whatever the corpus.
 * @throws ReembedError SOURCE_EMPTY, SOURCE_FORMAT or FIELD_NOT_FOUND for the corpus; USAGE for
 * options that the model or the corpus cannot meet.
 */
export async function planRun(corpus: Corpus, given: PlanRequest): Promise<PlanResult> {
  const { findBaseRun, lookUpRun = notRecorded, onProgress = () => {}, signal } = given
  const { found, sample, documents } = given.inspected ?? (await inspectCorpus(corpus, given))
  const { chunking } = given
  const request: FixedRequest = {
    ...given,
    chunking: withTitle(typeof chunking === 'function' ? await chunking(found) : chunking, sample),
  }
  const layout = layoutWith(request, sample)
  // Refuses here what every worker would refuse.
  extraColumns(layout)
  const recipe = recipeOf(request, sample)
  requireConsumers(given.consumers ?? [], { model: recipe.model, layout, documents })
  const [spaceId, recipeId] = [spaceIdOf(recipe.model), recipeIdOf(recipe)]
  const baseRun: BaseRunResult = findBaseRun
    ? await findBaseRun({ spaceId, recipeId, recipe })
    : {
        reason: findBaseRun === false ? 'switched off' : 'no output with earlier vectors was given',
        unfinished: [],
      }
  const [newest = baseRun.plan] = baseRun.unfinished
  const slicing = slicingOf(request, { ...sample, objects: found.objects }, recipe.model, newest?.slicing)
  const reuse = findBaseRun === false ? false : undefined
  const { run, plan: recorded } = await lookUpRun(
    runIdOf({ snapshotSha256: found.snapshotSha256, recipeId, layout, slicing, reuse }),
  )
  const indexed = createObjectIndexer(corpus.store, { sliceBytes: slicing.sliceBytes, signal })
  const cut = (): AsyncGenerator<Slice, void, undefined> => slices(indexed(found.relist(signal)), slicing)
  const learned = {
    slices: cut,
    sample,
    skipped: found.skipped,
    mixedInFiles: found.mixedInFiles,
    empty: found.empty,
    baseRun,
  }
  if (recorded) return { head: recorded, ...learned }

  let shards = 0
  const decompression = createDecompressionCounter()
  for await (const slice of cut()) {
    decompression.add(slice)
    shards += 1
    if (shards % REPORTED === 0) onProgress('slicing', shards)
  }
  return {
    head: {
      format: 1,
      run,
      spaceId,
      recipeId,
      source: corpus.store.url,
      table: corpus.table,
      recipe,
      layout,
      shards: Math.ceil(shards / (corpus.share ?? 1)),
      objects: found.objects,
      bytes: found.bytes,
      estimatedDocuments: sample.documents,
      snapshotSha256: found.snapshotSha256,
      slicing,
      baseRun: baseRun.plan?.run,
      ...(baseRun.unfinished.length > 0 && { unfinishedBaseRuns: baseRun.unfinished.map(({ run }) => run) }),
      maxRejects: request.maxRejects ?? DEFAULT_MAX_REJECTS,
    },
    ...learned,
    repeatedDecompression: decompression.worst(),
  }
}

/** The context of chunks of records has their title. */
const withTitle = (chunking: Chunking | undefined, { title }: Sample): Chunking | undefined =>
  chunking?.context && title !== undefined ? { ...chunking, context: { title } } : chunking

const notRecorded = async (run: string): Promise<RunLookup> => ({ run })

/** The requested layout with the columns that the sample and chunking add. */
function layoutWith({ layout, chunking }: FixedRequest, { carry }: Sample): ShardLayout | undefined {
  if (carry.length === 0 && !chunking) return layout
  return { ...layout, ...(carry.length > 0 && { carry }), ...(chunking && { chunked: true }) }
}

/** All that determines a vector, from the request and the chosen fields. */
function recipeOf(request: FixedRequest, { fields }: Sample): Recipe {
  const { prompt = '', template, chunking, truncate = true, dtype = 'float32' } = request
  const { model, nativeDimensions } = modelWith(request.model, request.dimensions)
  return {
    model,
    prompt,
    fields,
    ...(fields && template !== undefined && { template }),
    ...(chunking && { chunking }),
    truncate,
    dtype,
    nativeDimensions,
  }
}

function slicingOf(
  { chunking, documentsPerShard }: FixedRequest,
  sample: Sample & Pick<Survey, 'objects'>,
  { dimensions }: ModelIdentity,
  previous: Slicing | undefined,
): Slicing {
  const chunksPerDocument =
    chunking && Math.max(1, sample.charsPerDocument / (CHARS_PER_TOKEN * chunking.maxTokens))
  const fresh = chooseSlicing({ ...sample, dimensions, chunksPerDocument, documentsPerShard })
  return keepSlicing(previous, fresh, documentsPerShard)
}

/** The model with the dimensions of the stored vectors. */
function modelWith(
  native: ModelIdentity,
  dimensions = native.dimensions,
): { model: ModelIdentity; nativeDimensions?: number | undefined } {
  if (dimensions === native.dimensions) return { model: native }
  if (dimensions < native.dimensions)
    return { model: { ...native, dimensions }, nativeDimensions: native.dimensions }
  throw new ReembedError(
    'USAGE',
    `${dimensions} dimensions are more than the ${native.dimensions} of ${native.id}: vectors can be cut, not extended`,
    { option: 'vectors.dimensions' },
  )
}
