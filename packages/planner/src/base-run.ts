// Chooses the base runs, whose vectors a new run reuses for equal texts: the newest finished run of
// the recipe, else of one under which equal texts have equal vectors, and the unfinished runs that
// were planned after it. A corpus that is edited during a run
// would otherwise pay for the finished shards of that run again.

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
  sameVectors,
} from '@reembed/protocol'
import { canonical, ReembedError, shardPrefix } from '@reembed/shared'
import type { Store } from '@reembed/store'

export interface RecipeIds {
  readonly spaceId: string
  readonly recipeId: string
  readonly recipe: Recipe
}

/** The base runs of a new run. */
export type BaseRunResult = {
  /** Unfinished runs, newest first. */
  readonly unfinished: readonly Plan[]
} & (
  | { readonly plan: Plan; readonly manifest: Manifest }
  /** Why no finished run is reused, worded to follow 'nothing is reused: '. */
  | { readonly plan?: undefined; readonly reason: string }
)

/** For each of them, a worker may send some requests a slice. */
const MAX_UNFINISHED = 4

/**
 * The newest finished run of the same recipe, among the current version and the runs planned after
 * it, and the newest unfinished runs that were planned after that. A run of the same recipe comes
 * first, because its shards can be carried over whole; one that differs in fields, template or
 * chunking has the vectors of equal texts. A run that was
 * held is included: its vectors are complete. A run that was rolled back has a lower sequence
 * number than the current version, so it is excluded.
 */
export async function findBaseRun(store: Store, ids: RecipeIds): Promise<BaseRunResult> {
  const current = await readCurrent(store)
  const unfinished: Plan[] = []
  let similar: BaseRunResult | undefined
  let other: Plan | undefined
  for (const { run, seq } of await readSeq(store, { after: current && current.seq - 1 })) {
    const plan = await readPlan(store, run)
    // A rollback records a new sequence number for a finished run, which differs from the number in
    // its plan. It is skipped here, unless the run is the current version.
    if (!plan || (plan.seq !== seq && run !== current?.run)) continue
    const manifest = await readManifest(store, run)
    const state = await readRunState(store, run)
    if (isDeletion(state)) continue
    if (!manifest) {
      const isUsable = unfinished.length < MAX_UNFINISHED && sameVectors(plan.recipe, ids.recipe)
      // The workers of a running run may write its first shard at any moment.
      if (isUsable && (state === 'running' || (await hasShard(store, run)))) unfinished.push(plan)
    } else if (sameRecipe(manifest, ids)) {
      return { plan, manifest, unfinished }
    } else if (sameVectors(plan.recipe, ids.recipe)) {
      similar ??= { plan, manifest, unfinished: [...unfinished] }
    } else {
      other ??= plan
    }
  }
  if (similar) return similar
  return {
    unfinished,
    reason: other ? differenceOf(other.recipe, ids.recipe) : `no run in ${store.url} is finished yet`,
  }
}

async function hasShard(store: Store, run: string): Promise<boolean> {
  for await (const _ of store.list(shardPrefix(run))) return true
  return false
}

/**
 * Returns the base run with the id that the caller gives.
 * @throws ReembedError MODEL_MISMATCH (exit code 6) for a run with other vectors, RUN_NOT_FOUND for
 * a run that is not finished, is being deleted or was deleted.
 */
export async function requireBaseRun(store: Store, run: string, ids: RecipeIds): Promise<BaseRunResult> {
  const plan = await requirePlan(store, run)
  const manifest = await readManifest(store, run)
  // Read after the manifest: gc records the deletion before it deletes the manifest.
  await refuseDeleted(store, run, 'RUN_NOT_FOUND')
  if (!manifest) {
    throw new ReembedError(
      'RUN_NOT_FOUND',
      `run ${run} in ${store.url} is not finished: give a finished run to reuse its vectors`,
    )
  }
  if (sameVectors(plan.recipe, ids.recipe)) return { plan, manifest, unfinished: [] }
  throw new ReembedError(
    'MODEL_MISMATCH',
    `vectors of run ${run} cannot be reused: ${differenceOf(plan.recipe, ids.recipe)}`,
  )
}

/** The fields in which two recipes differ so that their vectors do, in one line. */
function differenceOf(before: Recipe, now: Recipe): string {
  const members = (recipe: Recipe): Record<string, unknown> => {
    const { model, prompt, truncate, dtype, nativeDimensions } = recipe
    return { ...model, model: model.id, id: undefined, prompt, truncate, dtype, nativeDimensions }
  }
  const [then, today] = [members(before), members(now)]
  const names = [...new Set([...Object.keys(then), ...Object.keys(today)])]
  const differing = names.filter(name => canonical(then[name] ?? null) !== canonical(today[name] ?? null))
  const shown = differing.map(
    name => `${name} was ${canonical(then[name] ?? null)}, is ${canonical(today[name] ?? null)}`,
  )
  return `the recipe differs from that of the earlier run (${shown.join('; ')})`
}
