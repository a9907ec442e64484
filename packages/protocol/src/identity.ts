// The ids that decide what may be compared, resumed and reused. Each depends on the listed members and nothing else;
// adding one changes every id, so that is a new `format`.

import { idOf } from '@reembed/shared'
import type { ShardLayout } from './layout.ts'
import type { Recipe } from './plan.ts'
import type { ModelIdentity } from './receipt.ts'

/** Vectors with the same space id can be compared. */
export function spaceIdOf({ id, revision, dimensions, pooling, normalized }: ModelIdentity): string {
  return idOf({ space: { id, revision, dimensions, pooling, normalized } })
}

/** Documents with the same recipe id and the same text have the same vector. */
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

export interface RunIdInputs {
  /** SHA-256 over the listing: key, etag, size and format of each object. */
  readonly snapshotSha256: string
  readonly recipeId: string
  /** Shards with other columns are other shards. */
  readonly layout?: ShardLayout | undefined
  /** How the corpus is cut: other slices are other shards, so another run. */
  readonly slicing: { readonly sliceBytes: number; readonly maxParts: number }
  /** Set where the run shall take no vectors from others: that is another run, or it would be found done already. */
  readonly reuse?: false | undefined
}

/** The same request on the same corpus is the same run, until that is removed: producers, retries and ticks converge on it. */
export function runIdOf({ snapshotSha256, recipeId, layout, slicing, reuse }: RunIdInputs): string {
  const { sliceBytes, maxParts } = slicing
  return idOf({ run: { format: 1, snapshotSha256, recipeId, layout, sliceBytes, maxParts, reuse } })
}

/** The run that embeds the rejects of `run` again: the same corpus and recipe, so it needs a name of its own. */
export const retryIdOf = (run: string): string => idOf({ retry: { format: 1, run } })

/** The id of a run that is made again after it was removed: a deletion that comes late finds nothing of the new one. */
export const replacementIdOf = (run: string): string => idOf({ again: { format: 1, run } })

/** Whether equal texts have the same vector in both: the one condition of taking a vector from another run. */
export const sameRecipe = (
  a: { readonly spaceId: string; readonly recipeId: string },
  b: { readonly spaceId: string; readonly recipeId: string },
): boolean => a.spaceId === b.spaceId && a.recipeId === b.recipeId
