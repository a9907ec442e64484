// Plans a run: what it shall hold, from a listing and a few sampled lines. Writes nothing. The same
// corpus, model and options give the same plan and the same run id, whoever asks and however often.

import { createMapper } from '@reembed/corpus'
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
import { extraColumns } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import type { BaseRunResult, RecipeIds } from './base-run.ts'
import type { Corpus } from './corpus.ts'
import { createObjectIndexer } from './index-objects.ts'
import { DEFAULT_MAX_REJECTS } from './publish.ts'
import type { PlannedRun, RunLookup } from './record.ts'
import { createDecompressionCounter, type RepeatedDecompression } from './repeated-decompression.ts'
import { type Sample, sampleCorpus } from './sample.ts'
import { chooseSlicing, keepSlicing, slices } from './slice.ts'
import { type ObjectExamples, survey } from './survey.ts'

export interface PlanRequest {
  readonly model: ModelIdentity
  /** Put in front of every document's text, as the model card asks. */
  readonly prompt?: string | undefined
  /** Id and text field of JSONL records; what is not named is chosen from a sample. */
  readonly fields?: Partial<FieldMapping> | undefined
  /** Makes each text of several fields, '{{ title }}\\n\\n{{ text }}'. */
  readonly template?: string | undefined
  /** Fields that go into the shards as columns: 'lang', or with its type 'year:int32'. */
  readonly carry?: readonly string[] | undefined
  /** Cuts documents into chunks; the tokenizer must be in the output already. */
  readonly chunking?: Chunking | undefined
  /** Whether texts over the model's limit are cut (else they are rejects). */
  readonly truncate?: boolean | undefined
  /** Keep the first so many dimensions of each vector, normalised again. */
  readonly dimensions?: number | undefined
  readonly dtype?: Dtype | undefined
  /** What shards hold beside id, vector and content hash. */
  readonly layout?: ShardLayout | undefined
  /** About how many documents a shard shall hold; fewer if their vectors would exceed 64 MiB. */
  readonly documentsPerShard?: number | undefined
  /** See Plan.maxRejects. */
  readonly maxRejects?: string | undefined
  /**
   * Finds the run to take unchanged vectors from; none if it is not given. False: none, and be
   * another run for that.
   */
  readonly findBaseRun?: ((recipe: RecipeIds) => Promise<BaseRunResult>) | false | undefined
  /**
   * What the output has of the run: see `lookUpRun`. If it has a plan, the corpus need not be
   * measured again.
   */
  readonly lookUpRun?: ((run: string) => Promise<RunLookup>) | undefined
  readonly signal?: AbortSignal | undefined
}

/** A plan to be recorded, and what was learned on the way. */
export interface PlanResult extends PlannedRun {
  readonly sample: Sample
  readonly skipped: ObjectExamples
  readonly mixedInFiles: ObjectExamples
  readonly baseRun: BaseRunResult
  /** A compressed object that would better be written otherwise. */
  readonly repeatedDecompression?: RepeatedDecompression | undefined
}

/** English; only for how many chunks to expect. */
const CHARS_PER_TOKEN = 3.5

/** Memory is bounded by 100,000 objects and one slice, whatever the corpus. */
export async function planRun(
  corpus: Corpus,
  {
    model: native,
    prompt = '',
    fields: named,
    truncate = true,
    dimensions,
    dtype = 'float32',
    layout: wantedLayout,
    documentsPerShard,
    maxRejects = DEFAULT_MAX_REJECTS,
    template,
    chunking,
    carry: wanted,
    findBaseRun,
    lookUpRun = async run => ({ run }),
    signal,
  }: PlanRequest,
): Promise<PlanResult> {
  const found = await survey(corpus, signal)
  const sample = await sampleCorpus(corpus, found, { fields: named, template, carry: wanted, signal })
  if (sample.documents === 0) {
    throw new ReembedError(
      'SOURCE_EMPTY',
      `There is nothing to embed: the objects in ${corpus.store.url} hold no records`,
    )
  }
  const { fields, carry } = sample
  const layout =
    carry.length > 0 || chunking
      ? { ...wantedLayout, ...(carry.length > 0 && { carry }), ...(chunking && { chunked: true }) }
      : wantedLayout
  // What every worker would refuse is refused here.
  extraColumns(layout)
  if (fields) createMapper({ fields, template, carry })
  const { model, nativeDimensions } = cutModel(native, dimensions)
  const recipe: Recipe = {
    model,
    prompt,
    fields,
    ...(fields && template !== undefined && { template }),
    ...(chunking && { chunking }),
    truncate,
    dtype,
    nativeDimensions,
  }
  const recipeId = recipeIdOf(recipe)
  const chunksPerDocument =
    chunking && Math.max(1, sample.charsPerDocument / (CHARS_PER_TOKEN * chunking.maxTokens))
  const spaceId = spaceIdOf(model)
  const baseRun: BaseRunResult = findBaseRun
    ? await findBaseRun({ spaceId, recipeId, recipe })
    : { reason: findBaseRun === false ? 'switched off' : 'not looked for' }
  const slicing = keepSlicing(
    baseRun.plan?.slicing,
    chooseSlicing({ ...sample, dimensions: model.dimensions, chunksPerDocument, documentsPerShard }),
    documentsPerShard,
  )
  const reuse = findBaseRun === false ? false : undefined
  const { run, plan: recorded } = await lookUpRun(
    runIdOf({ snapshotSha256: found.snapshotSha256, recipeId, layout, slicing, reuse }),
  )
  const measured = createObjectIndexer(corpus.store, { sliceBytes: slicing.sliceBytes, signal })
  const cut = (): AsyncGenerator<Slice, void, undefined> => slices(measured(found.relist(signal)), slicing)
  const learned = { slices: cut, sample, skipped: found.skipped, mixedInFiles: found.mixedInFiles, baseRun }
  if (recorded) return { head: recorded, ...learned }

  let shards = 0
  const rereads = createDecompressionCounter()
  for await (const slice of cut()) {
    rereads.add(slice)
    shards += 1
  }
  return {
    head: {
      format: 1,
      run,
      spaceId,
      recipeId,
      source: corpus.store.url,
      recipe,
      layout,
      shards,
      objects: found.objects,
      bytes: found.bytes,
      estimatedDocuments: sample.documents,
      snapshotSha256: found.snapshotSha256,
      slicing,
      baseRun: baseRun.plan?.run,
      maxRejects,
    },
    ...learned,
    repeatedDecompression: rereads.worst(),
  }
}

/** The model as its vectors will be. */
function cutModel(
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
