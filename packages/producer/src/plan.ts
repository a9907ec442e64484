// Plans a run: what it shall hold, from a listing and a few sampled lines. Writes nothing. The same corpus, model and
// options give the same plan and the same run id, whoever asks and however often.

import {
  type Dtype,
  type FieldMapping,
  type ModelIdentity,
  type Recipe,
  ReembedError,
  recipeIdOf,
  runIdOf,
  type ShardLayout,
  type Slice,
  spaceIdOf,
} from '@reembed/shared'
import { extraColumns } from '@reembed/shared/parquet'
import type { Corpus } from './corpus.ts'
import { DEFAULT_MAX_REJECTS } from './publish.ts'
import type { PlannedRun } from './record.ts'
import { type Sample, sampleCorpus } from './sample.ts'
import { chooseSlicing, slices } from './slice.ts'
import { type Skipped, survey } from './survey.ts'

export interface PlanRequest {
  readonly model: ModelIdentity
  /** Put in front of every document's text, as the model card asks. */
  readonly prompt?: string | undefined
  /** Id and text field of JSONL records; what is not named is chosen from a sample. */
  readonly fields?: Partial<FieldMapping> | undefined
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
  readonly signal?: AbortSignal | undefined
}

/** A plan to be recorded, and what was learned on the way. */
export interface SurveyedRun extends PlannedRun {
  readonly sample: Sample
  readonly skipped: Skipped
}

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
    layout,
    documentsPerShard,
    maxRejects = DEFAULT_MAX_REJECTS,
    signal,
  }: PlanRequest,
): Promise<SurveyedRun> {
  extraColumns(layout)
  const found = await survey(corpus, signal)
  const sample = await sampleCorpus(corpus, found, { fields: named, signal })
  const { model, cutFrom } = cutModel(native, dimensions)
  const recipe: Recipe = { model, prompt, fields: sample.fields, truncate, dtype, cutFrom }
  const recipeId = recipeIdOf(recipe)
  const slicing = chooseSlicing({ ...sample, dimensions: model.dimensions, documentsPerShard })
  const cut = (): AsyncGenerator<Slice, void, undefined> => slices(found.again(signal), slicing)

  let shards = 0
  for await (const _ of cut()) shards += 1

  return {
    head: {
      format: 1,
      run: runIdOf({ snapshotSha256: found.snapshotSha256, recipeId, layout, slicing }),
      spaceId: spaceIdOf(model),
      recipeId,
      source: corpus.store.url,
      recipe,
      layout,
      shards,
      objects: found.objects,
      bytes: found.bytes,
      estimatedDocuments: sample.documents,
      snapshotSha256: found.snapshotSha256,
      maxRejects,
    },
    slices: cut,
    sample,
    skipped: found.skipped,
  }
}

/** The model as its vectors will be. */
function cutModel(
  native: ModelIdentity,
  dimensions = native.dimensions,
): { model: ModelIdentity; cutFrom?: number | undefined } {
  if (dimensions === native.dimensions) return { model: native }
  if (dimensions < native.dimensions) return { model: { ...native, dimensions }, cutFrom: native.dimensions }
  throw new ReembedError(
    'USAGE',
    `--dimensions ${dimensions} is more than the ${native.dimensions} of ${native.id}: vectors can be cut, not grown`,
  )
}
