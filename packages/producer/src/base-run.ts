// Which run a new one takes unchanged vectors from, and how much that will be.

import {
  isDeletion,
  type Manifest,
  type Plan,
  type Recipe,
  readCurrent,
  readManifest,
  readPlan,
  readRunState,
  readSeq,
  refuseDeleted,
  requirePlan,
  sameRecipe,
} from '@reembed/protocol'
import { canonical, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'

export interface RecipeIds {
  readonly spaceId: string
  readonly recipeId: string
  readonly recipe: Recipe
}

/** The base, or why there is none, as it fits behind 'nothing is reused: '. */
export type BaseRunResult =
  | { readonly plan: Plan; readonly manifest: Manifest }
  | { readonly plan?: undefined; readonly reason: string }

/**
 * The newest finished run of the same recipe, of the current version and those that were planned
 * after it (one that was held back has good vectors as well). What somebody has rolled back from is
 * older than the current version, and left alone.
 */
export async function findBaseRun(store: Store, ids: RecipeIds): Promise<BaseRunResult> {
  const current = await readCurrent(store)
  let other: Plan | undefined
  for (const { run, seq } of await readSeq(store, { after: current && current.seq - 1 })) {
    const plan = await readPlan(store, run)
    // A rollback gives an old run a new place: that of its plan is another one.
    if (!plan || (plan.seq !== seq && run !== current?.run)) continue
    const manifest = await readManifest(store, run)
    if (!manifest || isDeletion(await readRunState(store, run))) continue
    if (sameRecipe(manifest, ids)) return { plan, manifest }
    other ??= plan
  }
  return {
    reason: other ? differenceOf(other.recipe, ids.recipe) : `nothing is finished in ${store.url} yet`,
  }
}

/**
 * A run that somebody names as the base.
 * @throws ReembedError MODEL_MISMATCH (exit code 6) for one of another recipe, RUN_NOT_FOUND for
 * one that is not finished, or is being removed or was.
 */
export async function requireBaseRun(store: Store, run: string, ids: RecipeIds): Promise<BaseRunResult> {
  const plan = await requirePlan(store, run)
  const manifest = await readManifest(store, run)
  // After the manifest: a gc that erases it has said so before.
  await refuseDeleted(store, run, 'RUN_NOT_FOUND')
  if (!manifest) {
    throw new ReembedError(
      'RUN_NOT_FOUND',
      `run ${run} in ${store.url} is not finished: vectors are taken from finished runs only`,
    )
  }
  if (sameRecipe(manifest, ids)) return { plan, manifest }
  throw new ReembedError(
    'MODEL_MISMATCH',
    `vectors of run ${run} cannot be taken over: ${differenceOf(plan.recipe, ids.recipe)}`,
  )
}

/** What makes two recipes differ, in one line. */
function differenceOf(before: Recipe, now: Recipe): string {
  const members = (recipe: Recipe): Record<string, unknown> => {
    const { model, ...rest } = recipe
    return { ...model, model: model.id, id: undefined, ...rest }
  }
  const [then, today] = [members(before), members(now)]
  const names = [...new Set([...Object.keys(then), ...Object.keys(today)])]
  const differing = names.filter(name => canonical(then[name] ?? null) !== canonical(today[name] ?? null))
  const shown = differing.map(
    name => `${name} was ${canonical(then[name] ?? null)}, is ${canonical(today[name] ?? null)}`,
  )
  return `another recipe than the version before (${shown.join('; ')})`
}
