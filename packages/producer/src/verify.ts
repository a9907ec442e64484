// VERIFY: does the run hold what it promises? Everything is computed again from the shards; nothing
// that was written down about them is believed.

import { createHash } from 'node:crypto'
import { createDimensionRanges } from '@reembed/evaluate'
import {
  type Manifest,
  type ManifestShard,
  type Plan,
  type Receipt,
  type RejectReason,
  readManifest,
  readManifestShards,
  readVersions,
  recipeIdOf,
  requirePlan,
  spaceIdOf,
  type Totals,
} from '@reembed/protocol'
import { checkShard } from '@reembed/shard'
import { canonical, mapConcurrent, ReembedError, sha256, shardOfKey, shardPrefix } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { createAudit } from './audit.ts'
import { type PlannedShard, plannedShards, requireShardExists } from './planned-shards.ts'
import { requireUniqueIds } from './unique-ids.ts'

export interface Verification {
  readonly run: string
  readonly shards: number
  readonly model: Plan['recipe']['model']
  readonly totals: Totals
  /** See Manifest; not computed again, since the base may be gone. */
  readonly baseRun?: Manifest['baseRun']
  /** Length of the shortest and the longest vector, as measured; null if there is none. */
  readonly norms: { readonly min: number; readonly max: number } | null
  /** Vectors equal to the one before them, although the texts differ. */
  readonly repeatedVectors: number
  /**
   * Dimensions, from 0 on, that have one value for all; none where the run has fewer than 100
   * texts.
   */
  readonly collapsedDimensions: readonly number[]
  readonly rejectReasons: Partial<Record<RejectReason, number>>
}

const SHARDS_AT_ONCE = 4

/**
 * Reads every shard of a run whole.
 * @throws ReembedError (exit code 4) with the first thing that does not balance, naming the file.
 */
export async function verify(store: Store, run: string, signal?: AbortSignal): Promise<Verification> {
  const plan = await requirePlan(store, run)
  const manifest = await readManifest(store, run)
  requireOwnIds(store, plan)
  await refuseForeign(store, plan)
  if (manifest) requireOfPlan(store, manifest, plan)
  const listed = manifest && readManifestShards(store, manifest)

  const audit = createAudit(plan)
  const files = createHash('sha256')
  const bodies = createHash('sha256')
  const checked = mapConcurrent(plannedShards(store, plan), at => check(store, plan, at), {
    concurrency: SHARDS_AT_ONCE,
    signal,
  })
  let [min, max, repeatedVectors] = [Number.POSITIVE_INFINITY, 0, 0]
  const ranges = createDimensionRanges(plan.recipe.model.dimensions)
  for await (const { slice, key, receipt, size, sha256, ...measured } of checked) {
    min = Math.min(min, measured.norms.min)
    max = Math.max(max, measured.norms.max)
    repeatedVectors += measured.repeatedVectors
    ranges.add(measured)
    audit.add(slice, receipt, size)
    files.update(`${key} ${sha256}\n`)
    bodies.update(`${key} ${receipt.bodySha256}\n`)
    if (listed) requireListed(store, run, rowOf(key, size, receipt), (await listed.next()).value || undefined)
  }
  const { totals, rejectReasons } = audit.end()
  await requireUniqueIds(store, plan, totals.rows, { signal })
  if (manifest) {
    requireSame(manifest, totals, [files.digest('hex'), bodies.digest('hex')], store)
    await requireChain(store, manifest)
  }
  const norms = totals.rows > 0 ? { min, max } : null
  return {
    run,
    shards: plan.shards,
    model: plan.recipe.model,
    totals,
    baseRun: manifest?.baseRun,
    norms,
    repeatedVectors,
    collapsedDimensions: ranges.collapsedDimensions(),
    rejectReasons,
  }
}

/** Anything under the run's data that is no shard of it was put there by somebody else. */
async function refuseForeign(store: Store, plan: Plan): Promise<void> {
  for await (const { key } of store.list(shardPrefix(plan.run))) {
    if (shardOfKey(key, plan.run, plan.shards) !== undefined) continue
    throw new ReembedError(
      'CORRUPT',
      `${key} in ${store.url} is not a shard of this run; it was left as it is`,
    )
  }
}

async function check(store: Store, plan: Plan, { slice, key, shard }: PlannedShard) {
  await requireShardExists(store, key)
  const checked = await checkShard(store, key, { run: plan.run, shard })
  const { model, spaceId } = checked.receipt
  if (spaceIdOf(model) !== spaceId) {
    throw new ReembedError('CORRUPT', `${key} in ${store.url} names a model that is not the one of its space`)
  }
  return { slice, key, ...checked }
}

/**
 * The ids are hashes of what the plan says: who changed it would have to change every shard's
 * receipt.
 */
function requireOwnIds(store: Store, { run, recipe, spaceId, recipeId }: Plan): void {
  if (spaceIdOf(recipe.model) === spaceId && recipeIdOf(recipe) === recipeId) return
  throw new ReembedError(
    'CORRUPT',
    `the plan of run ${run} in ${store.url} was changed after it was written: its recipe is not the one that its ids stand for`,
  )
}

/** What finalize takes over from the plan. */
function requireOfPlan(store: Store, manifest: Manifest, plan: Plan): void {
  const { recipe, seq, spaceId, recipeId, source, layout, shards, queryPrompt } = plan
  const { prompt, fields, model, dtype, nativeDimensions } = recipe
  const planned = {
    seq,
    spaceId,
    recipeId,
    source,
    layout,
    shards,
    queryPrompt,
    prompt,
    fields,
    model,
    dtype,
    nativeDimensions,
  }
  for (const [name, value] of Object.entries(planned)) {
    const found = manifest[name as keyof typeof planned]
    // Manifests of before there was a choice do not say.
    if (found === undefined || canonical({ found }) === canonical({ found: value })) continue
    throw new ReembedError(
      'CORRUPT',
      `the manifest of run ${plan.run} in ${store.url} says otherwise than its plan, see ${name}: one of them was replaced`,
    )
  }
}

function rowOf(key: string, bytes: number, { rows, rejects, tokens, bodySha256 }: Receipt): ManifestShard {
  return { key, bytes, rows, rejects: rejects.length, tokens, bodySha256 }
}

/** Exports go by what the manifest lists. */
function requireListed(
  store: Store,
  run: string,
  made: ManifestShard,
  listed: ManifestShard | undefined,
): void {
  if (listed && canonical({ ...listed }) === canonical(made)) return
  throw new ReembedError(
    'CORRUPT',
    `the manifest of run ${run} in ${store.url} lists another shard than ${made.key}: one of them was replaced`,
  )
}

/** Every version of this run names this manifest, by its hash. */
async function requireChain(store: Store, manifest: Manifest): Promise<void> {
  const expected = sha256(canonical(manifest))
  for await (const { version, run, manifestSha256 } of readVersions(store)) {
    if (run !== manifest.run || manifestSha256 === expected) continue
    throw new ReembedError(
      'CORRUPT',
      `version ${version} in ${store.url} names another manifest of run ${run} than the one that is there: it was replaced after it was published`,
    )
  }
}

function requireSame(manifest: Manifest, totals: Totals, shards: readonly string[], store: Store): void {
  const same =
    shards.includes(manifest.shardsSha256) &&
    JSON.stringify(sorted(manifest.totals)) === JSON.stringify(sorted(totals))
  if (same) return
  throw new ReembedError(
    'CORRUPT',
    `the shards of run ${manifest.run} in ${store.url} are not those that its manifest names: at least one was replaced after it was finished`,
  )
}

/** Manifests of before there was reuse say nothing of it. */
const sorted = (totals: Totals): [string, unknown][] =>
  Object.entries({ reused: 0, ...totals }).sort(([a], [b]) => (a < b ? -1 : 1))
