// FINALIZE: when every shard of a run exists, audits every receipt and every id, and writes the
// manifest. Concurrent finalizers write the same bytes, unless gc deletes the base run between
// their reads of it; then the manifest that was written first is the valid one.

import { createHash } from 'node:crypto'
import {
  type Audit,
  createAudit,
  type LocatedReject,
  manifestShardOf,
  type PlannedShard,
  plannedShards,
  requireShardExists,
  requireUniqueIds,
} from '@reembed/evaluate'
import {
  type ActualCost,
  dollarsOf,
  type Interval,
  intervalOf,
  isCarried,
  type Manifest,
  type ManifestShard,
  mergedIntervals,
  type Plan,
  putManifest,
  putManifestSegment,
  readManifest,
  unionMs,
} from '@reembed/protocol'
import { type ReadShardOptions, readReceipt } from '@reembed/shard'
import { batched, mapConcurrent } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { compareBaseIds } from './base-ids.ts'
import { putRejects } from './rejects.ts'
import { createSpool, type Spool } from './spool.ts'

const SHARDS_PER_SEGMENT = 1_024
const RECEIPTS_AT_ONCE = 16
/** Intervals in memory before they are merged: those of concurrent jobs overlap, so few remain. */
const MANY_INTERVALS = 8_192

export interface FinalizeOptions {
  /** The size of each shard, from a LIST: saves one or two requests a shard. */
  readonly present?: Uint32Array | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Writes the manifest of a run whose shards all exist, or returns the stored one. Sends about three
 * requests a shard where sizes are known. Idempotent.
 * @throws ReembedError UNBALANCED, MODEL_MISMATCH or DUPLICATE_ID; then nothing is written.
 */
export async function finalize(store: Store, plan: Plan, options: FinalizeOptions = {}): Promise<Manifest> {
  const existing = await readManifest(store, plan.run)
  if (existing) return existing

  // Nothing is written before the audit has passed, and nothing in memory grows with the run.
  await using rejects = createSpool<LocatedReject>()
  await using shards = createSpool<ManifestShard>()
  const { totals, rejectReasons, intervals, shardsSha256 } = await auditReceipts(
    store,
    plan,
    { rejects, shards },
    options,
  )
  const { removedRows, areUnique } = await compareBaseIds(
    store,
    plan,
    shards.rows(),
    totals.rows,
    options.signal,
  )
  if (!areUnique) await requireUniqueIds(store, plan, { rows: totals.rows, shardsSha256 }, options)

  let segment = 0
  for await (const rows of batched(shards.rows(), SHARDS_PER_SEGMENT)) {
    await putManifestSegment(store, plan.run, segment, rows)
    segment += 1
  }
  await putRejects(store, plan.run, rejects.rows())
  const { run, seq, spaceId, recipeId, source, recipe } = plan
  const manifest: Manifest = {
    format: 1,
    run,
    seq,
    spaceId,
    recipeId,
    source,
    model: recipe.model,
    prompt: recipe.prompt,
    queryPrompt: plan.queryPrompt,
    fields: recipe.fields,
    dtype: recipe.dtype,
    nativeDimensions: recipe.nativeDimensions,
    layout: plan.layout,
    baseRun: plan.baseRun === undefined ? undefined : { run: plan.baseRun, removedRows },
    unfinishedBaseRuns: plan.unfinishedBaseRuns,
    shards: plan.shards,
    shardsPerSegment: SHARDS_PER_SEGMENT,
    totals,
    rejectReasons,
    quote: plan.quote,
    actualCost: actualCostOf(plan, totals.tokens, intervals),
    shardsSha256,
  }
  if ((await putManifest(store, manifest)) === 'created') return manifest
  // A concurrent finalizer was first. Its manifest may differ in `removedRows`, if gc deleted the
  // base run in between; the stored one is the one that is published.
  return (await readManifest(store, run)) ?? manifest
}

interface AuditedReceipts extends ReturnType<Audit['end']> {
  /**
   * Time intervals in which the endpoint was in use, from which the cost of the run is computed.
   */
  readonly intervals: readonly Interval[]
  /** SHA-256 over the key and the file hash of every shard, in order. */
  readonly shardsSha256: string
}

/** Audits every receipt in shard order, and spools the rows of the manifest and the rejects. */
async function auditReceipts(
  store: Store,
  plan: Plan,
  { rejects, shards }: { readonly rejects: Spool<LocatedReject>; readonly shards: Spool<ManifestShard> },
  { present, signal }: FinalizeOptions,
): Promise<AuditedReceipts> {
  const audit = createAudit(plan)
  const hash = createHash('sha256')
  let intervals: Interval[] = []
  const receipts = mapConcurrent(
    plannedShards(store, plan),
    (planned, stop) => receiptOf(store, planned, { size: present?.[planned.shard], signal: stop }),
    { concurrency: RECEIPTS_AT_ONCE, signal },
  )
  for await (const { slice, key, receipt, size, sha256 } of receipts) {
    for (const reject of audit.add(slice, receipt, size)) await rejects.add(reject)
    await shards.add(manifestShardOf(plan, key, size, receipt))
    hash.update(`${key} ${sha256}\n`)
    const interval = isCarried(receipt, plan) ? undefined : intervalOf(receipt)
    if (interval) intervals.push(interval)
    if (intervals.length >= MANY_INTERVALS) intervals = mergedIntervals(intervals)
  }
  return { ...audit.end(), intervals, shardsSha256: hash.digest('hex') }
}

function actualCostOf({ quote }: Plan, tokens: number | null, intervals: readonly Interval[]): ActualCost {
  const endpointSeconds =
    intervals.length === 0 ? null : unionMs(intervals) / 1000 + (quote?.coldStartSeconds ?? 0)
  const price = quote?.price
  return {
    tokens,
    endpointSeconds,
    dollars: price && endpointSeconds !== null ? dollarsOf(endpointSeconds, price) : null,
  }
}

async function receiptOf(store: Store, { slice, key }: PlannedShard, options: ReadShardOptions) {
  if (!options.size) await requireShardExists(store, key)
  return { slice, key, ...(await readReceipt(store, key, options)) }
}
