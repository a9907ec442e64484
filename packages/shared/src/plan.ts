// The plan of a run: what it shall hold. Written once, before any job. The head (plan.json) is small whatever the
// corpus; the slices stand in segments of fixed length, so one slice is found by reading one segment.

import type { FieldMapping, Slice } from './corpus.ts'
import type { ModelIdentity } from './receipt.ts'

/** Everything that decides what a document's vector will be. */
export interface Recipe {
  readonly model: ModelIdentity
  /** Put in front of every document's text, as the model card asks. */
  readonly prompt: string
  readonly fields: FieldMapping | null
  readonly truncate: boolean
  readonly dtype: 'float32'
}

export interface Plan {
  readonly format: 1
  readonly run: string
  readonly seq: number
  readonly spaceId: string
  readonly recipeId: string
  /** Where the corpus lies: a folder or s3:// URL, as given. */
  readonly source: string
  readonly recipe: Recipe
  readonly shards: number
  readonly slicesPerSegment: number
  readonly objects: number
  readonly bytes: number
  /** Estimated from a sample; the receipts have the exact number. */
  readonly estimatedDocuments: number
  readonly snapshotSha256: string
}

/** One row of a plan segment. */
export type PlannedSlice = Slice
