// The ids that decide which vectors can be compared, resumed and reused. Each id depends on the
// listed members alone. A further member changes every id, so it needs a new `format`.

import { canonical, idOf } from '@reembed/shared'
import type { ShardLayout } from './layout.ts'
import type { Recipe } from './plan.ts'
import type { ModelIdentity } from './receipt.ts'

/** Returns the space id of a model: vectors with equal space ids can be compared. */
export function spaceIdOf({ id, revision, dimensions, pooling, normalized }: ModelIdentity): string {
  return idOf({ space: { id, revision, dimensions, pooling, normalized } })
}

/** Returns the recipe id: equal texts under equal recipe ids have equal vectors. */
export function recipeIdOf({
  model,
  prompt,
  fields,
  template,
  chunking,
  truncate,
  dtype,
  nativeDimensions,
}: Recipe): string {
  return idOf({
    recipe: {
      space: spaceIdOf(model),
      prompt,
      fields,
      template,
      chunking,
      truncate,
      dtype,
      nativeDimensions,
    },
  })
}

/** The members of a run id. */
export interface RunIdInputs {
  /** SHA-256 over the listing: key, etag, size and format of each object. */
  readonly snapshotSha256: string
  readonly recipeId: string
  /** Other columns make other shards, so another run. */
  readonly layout?: ShardLayout | undefined
  /** Another slicing makes other shards, so another run. */
  readonly slicing: { readonly sliceBytes: number; readonly maxParts: number }
  /**
   * `false` for a run that must not reuse vectors. Without it the id would be that of the finished
   * run.
   */
  readonly reuse?: false | undefined
}

/**
 * Returns the run id. Equal requests on an equal corpus have equal ids, so planning is idempotent.
 */
export function runIdOf({ snapshotSha256, recipeId, layout, slicing, reuse }: RunIdInputs): string {
  const { sliceBytes, maxParts } = slicing
  return idOf({ run: { format: 1, snapshotSha256, recipeId, layout, sliceBytes, maxParts, reuse } })
}

/**
 * Returns the id of the run that retries the rejects of `run`. Corpus and recipe are equal, so the
 * id must differ.
 */
export const retryIdOf = (run: string): string => idOf({ retry: { format: 1, run } })

/**
 * Returns the id of a run that replaces the deleted run `run`. A late deletion therefore cannot
 * affect the replacement.
 */
export const replacementIdOf = (run: string): string => idOf({ again: { format: 1, run } })

/**
 * Whether equal texts have equal vectors under both recipes: the condition for reuse. Fields,
 * template and chunking decide which texts are embedded, not what their vectors are.
 */
export const sameVectors = (a: Recipe, b: Recipe): boolean => vectorsOf(a) === vectorsOf(b)

const vectorsOf = ({ model, prompt, truncate, dtype, nativeDimensions }: Recipe): string =>
  canonical({ space: spaceIdOf(model), prompt, truncate, dtype, nativeDimensions: nativeDimensions ?? null })

/** Whether equal slices have equal rows in both runs: the condition for carrying a shard over. */
export const sameRecipe = (
  a: { readonly spaceId: string; readonly recipeId: string },
  b: { readonly spaceId: string; readonly recipeId: string },
): boolean => a.spaceId === b.spaceId && a.recipeId === b.recipeId
