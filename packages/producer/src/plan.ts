// Plans a run: what it shall hold, from a listing and a few sampled lines. Writes nothing. The same corpus, model and
// options give the same plan and the same run id, whoever asks and however often.

import {
  type FieldMapping,
  type ModelIdentity,
  type Recipe,
  recipeIdOf,
  runIdOf,
  type Slice,
  spaceIdOf,
} from '@reembed/shared'
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
    model,
    prompt = '',
    fields: named,
    truncate = true,
    documentsPerShard,
    maxRejects = DEFAULT_MAX_REJECTS,
    signal,
  }: PlanRequest,
): Promise<SurveyedRun> {
  const found = await survey(corpus, signal)
  const sample = await sampleCorpus(corpus, found, { fields: named, signal })
  const recipe: Recipe = { model, prompt, fields: sample.fields, truncate, dtype: 'float32' }
  const recipeId = recipeIdOf(recipe)
  const slicing = chooseSlicing({ ...sample, dimensions: model.dimensions, documentsPerShard })
  const cut = (): AsyncGenerator<Slice, void, undefined> => slices(found.again(signal), slicing)

  let shards = 0
  for await (const _ of cut()) shards += 1

  return {
    head: {
      format: 1,
      run: runIdOf({ snapshotSha256: found.snapshotSha256, recipeId, slicing }),
      spaceId: spaceIdOf(model),
      recipeId,
      source: corpus.store.url,
      recipe,
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
