// VERIFY: checks that a run holds what its manifest states. Computes every figure again from the
// shards and trusts no recorded one.

import { createHash } from 'node:crypto'
import {
  isCarried,
  isShardOf,
  type Manifest,
  type ManifestShard,
  type Plan,
  type RejectReason,
  readManifest,
  readManifestShards,
  readVersions,
  recipeIdOf,
  requirePlan,
  spaceIdOf,
  type Totals,
} from '@reembed/protocol'
import { checkShard, REPEATED_CAUSES, type ReadShardOptions, readReceipt } from '@reembed/shard'
import { canonical, mapConcurrent, ReembedError, sha256, shardOfKey, shardPrefix } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { createDimensionRanges } from '../collapsed-dimensions.ts'
import { createAudit, manifestShardOf } from './audit.ts'
import { isShardOfPart, type Part, partOf, WHOLE } from './part.ts'
import { type PlannedShard, plannedShards, requireShardExists } from './planned-shards.ts'
import { requireUniqueIds } from './unique-ids.ts'

export interface Verification {
  readonly run: string
  readonly shards: number
  /** Set for a part: the number of shards read whole. Norms and repeated vectors are of these. */
  readonly shardsRead?: number | undefined
  readonly model: Plan['recipe']['model']
  readonly totals: Totals
  /** See Manifest; not computed again, since the base run may have been deleted. */
  readonly baseRun?: Manifest['baseRun']
  /** Euclidean norm of the shortest and the longest vector, as measured; null without vectors. */
  readonly norms: { readonly min: number; readonly max: number } | null
  /**
   * Different texts whose vector at least three others of their row group have, less the truncated
   * ones: mostly texts of which the model knows no word. Of a whole verification at most a tenth of
   * the rows.
   */
  readonly repeatedVectors: number
  /**
   * Dimensions, counted from 0, with the same value in every vector; empty for a run with fewer
   * than 100 texts.
   */
  readonly collapsedDimensions: readonly number[]
  readonly rejectReasons: Partial<Record<RejectReason, number>>
}

const SHARDS_AT_ONCE = 4
const RECEIPTS_AT_ONCE = 16
/** Share of rows whose vectors may be those of other texts. */
const MAX_REPEATED = 0.1
/** Fewer are not refused, whatever their share. */
const MIN_REPEATED = 16

export interface VerifyOptions {
  /**
   * Verifies one part of the run: '3/16' reads every 16th shard whole and compares a 16th of the
   * ids, in a 16th of the temporary disk space. All receipts and the manifest are checked as well,
   * so the run is verified when each of its parts is. Only a whole verification refuses repeated
   * vectors: a part states its number.
   */
  readonly part?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Called after each shard, with the number of shards that were checked and of all. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined
}

/**
 * Reads every shard of a run whole and checks it against the plan and, if there is one, the
 * manifest.
 * @throws ReembedError UNBALANCED, CORRUPT, DUPLICATE_ID or MODEL_MISMATCH for the first fault,
 * naming the file; RUN_NOT_FOUND for an unknown run.
 */
export async function verify(
  store: Store,
  run: string,
  { part: partText, signal, onProgress }: VerifyOptions = {},
): Promise<Verification> {
  const part = partText === undefined ? WHOLE : partOf(partText)
  const plan = await requirePlan(store, run)
  const manifest = await readManifest(store, run)
  requireOwnIds(store, plan)
  const present = await listShards(store, plan)
  if (manifest) requireOfPlan(store, manifest, plan)
  const listed = manifest && readManifestShards(store, manifest)

  const audit = createAudit(plan)
  const files = createHash('sha256')
  const bodies = createHash('sha256')
  const checked = mapConcurrent(
    plannedShards(store, plan),
    (at, stop) => check(store, plan, at, { part, size: present[at.shard], signal: stop }),
    {
      // Of neighbouring shards, every nth is read whole.
      concurrency: Math.min(RECEIPTS_AT_ONCE, SHARDS_AT_ONCE * part.of),
      signal,
    },
  )
  let [min, max, repeatedVectors, done] = [Number.POSITIVE_INFINITY, 0, 0, 0]
  let [rowsRead, shardsRead] = [0, 0]
  const ranges = createDimensionRanges(plan.recipe.model.dimensions)
  for await (const { slice, key, receipt, size, sha256, measured } of checked) {
    if (measured) {
      min = Math.min(min, measured.norms.min)
      max = Math.max(max, measured.norms.max)
      repeatedVectors += measured.repeatedVectors
      ranges.add(measured)
      rowsRead += receipt.rows
      shardsRead += 1
    }
    audit.add(slice, receipt, size)
    onProgress?.(++done, plan.shards)
    files.update(`${key} ${sha256}\n`)
    bodies.update(`${key} ${receipt.bodySha256}\n`)
    if (listed)
      requireListed(
        store,
        run,
        manifestShardOf(plan, key, size, receipt),
        (await listed.next()).value || undefined,
      )
  }
  const { totals, rejectReasons } = audit.end()
  // A part has too few of the rows to judge the run.
  if (part.of === 1) requireFewRepeated(store, plan, repeatedVectors, rowsRead)
  const shardsSha256 = files.digest('hex')
  await requireUniqueIds(store, plan, { rows: totals.rows, shardsSha256 }, { present, part, signal })
  if (manifest) {
    requireSame(manifest, totals, [shardsSha256, bodies.digest('hex')], store)
    await requireChain(store, manifest)
  }
  const norms = rowsRead > 0 ? { min, max } : null
  return {
    run,
    shards: plan.shards,
    shardsRead: part.of === 1 ? undefined : shardsRead,
    model: plan.recipe.model,
    totals,
    baseRun: manifest?.baseRun,
    norms,
    repeatedVectors,
    collapsedDimensions: ranges.collapsedDimensions(),
    rejectReasons,
  }
}

/**
 * Vectors that many texts share tell nothing about them: the endpoint returned nonsense.
 * @param rows of the shards that were read whole
 */
function requireFewRepeated(store: Store, { run }: Plan, repeated: number, rows: number): void {
  if (repeated < MIN_REPEATED || repeated <= MAX_REPEATED * rows) return
  throw new ReembedError(
    'CORRUPT',
    `run ${run} in ${store.url} is not usable: ${repeated} of ${rows} texts have the vector of at least three other texts; ${REPEATED_CAUSES}, then embed the run again`,
  )
}

/**
 * The size of each shard in bytes, 0 where it is missing. Objects under the run's data prefix that
 * are not shards of the run were written by another program.
 */
async function listShards(store: Store, plan: Plan): Promise<Uint32Array> {
  const present = new Uint32Array(plan.shards)
  for await (const { key, size } of store.list(shardPrefix(plan.run))) {
    const shard = shardOfKey(key, plan.run, plan.shards)
    if (shard === undefined) {
      throw new ReembedError(
        'CORRUPT',
        `${key} in ${store.url} is not a shard of run ${plan.run} by its plan: check what wrote it, then remove it`,
      )
    }
    present[shard] = size
  }
  return present
}

/** Checks a shard whole if the part has it, else its footer alone. */
async function check(
  store: Store,
  plan: Plan,
  { slice, key, shard }: PlannedShard,
  { part, ...options }: ReadShardOptions & { readonly part: Part },
) {
  if (!options.size) await requireShardExists(store, key)
  const measured = isShardOfPart(shard, part) ? await checkShard(store, key, {}, options) : undefined
  const { receipt, size, sha256 } = measured ?? (await readReceipt(store, key, options))
  if (!isShardOf(receipt, plan, shard, slice)) {
    const field = isCarried(receipt, plan) ? 'run' : 'shard'
    throw new ReembedError(
      'CORRUPT',
      `${key} in ${store.url} belongs to another job: its ${field} is ${receipt[field]}, expected ${{ run: plan.run, shard }[field]}`,
    )
  }
  const { model, spaceId } = receipt
  if (spaceIdOf(model) !== spaceId) {
    throw new ReembedError('CORRUPT', `${key} in ${store.url} has a model that does not match its space id`)
  }
  return { slice, key, receipt, size, sha256, measured }
}

/**
 * The ids are hashes of the recipe, and every receipt repeats them: a changed recipe does not match
 * them, and changed ids do not match the receipts.
 */
function requireOwnIds(store: Store, { run, recipe, spaceId, recipeId }: Plan): void {
  if (spaceIdOf(recipe.model) === spaceId && recipeIdOf(recipe) === recipeId) return
  throw new ReembedError(
    'CORRUPT',
    `the plan of run ${run} in ${store.url} was changed after it was written: its ids are not those of its recipe`,
  )
}

/** Checks the fields that finalize copies from the plan. */
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
    // A manifest of an earlier version may lack a field.
    if (found === undefined || canonical({ found }) === canonical({ found: value })) continue
    throw new ReembedError(
      'CORRUPT',
      `the manifest of run ${plan.run} in ${store.url} and its plan differ in ${name}: one of them was replaced`,
    )
  }
}

/** Checks one row of the manifest's list of shards: sinks read it instead of the receipts. */
function requireListed(
  store: Store,
  run: string,
  made: ManifestShard,
  listed: ManifestShard | undefined,
): void {
  if (listed && canonical({ ...listed }) === canonical(made)) return
  throw new ReembedError(
    'CORRUPT',
    `the manifest of run ${run} in ${store.url} does not list ${made.key} as it is stored: one of them was replaced`,
  )
}

/** Checks that every version of this run has the hash of this manifest. */
async function requireChain(store: Store, manifest: Manifest): Promise<void> {
  const expected = sha256(canonical(manifest))
  for await (const { version, run, manifestSha256 } of readVersions(store)) {
    if (run !== manifest.run || manifestSha256 === expected) continue
    throw new ReembedError(
      'CORRUPT',
      `version ${version} in ${store.url} records the hash of another manifest of run ${run} than the stored one: the manifest was replaced after it was published`,
    )
  }
}

/** A manifest of an earlier version may lack `reused`. */
function requireSame(manifest: Manifest, totals: Totals, shards: readonly string[], store: Store): void {
  const same =
    shards.includes(manifest.shardsSha256) &&
    canonical({ reused: 0, ...manifest.totals }) === canonical({ reused: 0, ...totals })
  if (same) return
  throw new ReembedError(
    'CORRUPT',
    `the shards of run ${manifest.run} in ${store.url} are not those that its manifest names: at least one was replaced after the run was finished`,
  )
}
