// FINALIZE: every shard is there, so look at every receipt and every id, and write down what the
// run holds. Two finalizers write the same bytes, but where the base went between their looks at
// it: then the first one's count.

import { createHash } from 'node:crypto'
import {
  type ActualCost,
  dollarsOf,
  type Interval,
  intervalOf,
  type Manifest,
  type ManifestShard,
  mergedIntervals,
  type Plan,
  readManifest,
  unionMs,
} from '@reembed/protocol'
import { type ReadShardOptions, readReceipt } from '@reembed/shard'
import { batched, manifestKey, manifestSegmentKey, mapConcurrent } from '@reembed/shared'
import { putJson, putRows, type Store } from '@reembed/store'
import { createAudit, type LocatedReject } from './audit.ts'
import { type PlannedShard, plannedShards, requireShardExists } from './planned-shards.ts'
import { putRejects } from './rejects.ts'
import { countRemovedRows } from './removed-rows.ts'
import { createSpool } from './spool.ts'
import { requireUniqueIds } from './unique-ids.ts'

const SHARDS_PER_SEGMENT = 1_024
const RECEIPTS_AT_ONCE = 16
/** Jobs run side by side, so many intervals are few stretches of time. */
const MANY_INTERVALS = 8_192

export interface FinalizeOptions {
  /** The size of each shard, from a LIST: saves a request or two for each. */
  readonly present?: Uint32Array | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Writes the manifest of a run whose shards are all there, or returns the one that is. Takes three
 * requests a shard where sizes are known.
 * @throws ReembedError UNBALANCED, MODEL_MISMATCH or DUPLICATE_ID; then nothing is written.
 */
export async function finalize(
  store: Store,
  plan: Plan,
  { present, signal }: FinalizeOptions = {},
): Promise<Manifest> {
  const existing = await readManifest(store, plan.run)
  if (existing) return existing

  const audit = createAudit(plan)
  const hash = createHash('sha256')
  // Nothing is written before the run is known to balance, and nothing is held that grows with it.
  await using rejects = createSpool<LocatedReject>()
  await using shards = createSpool<ManifestShard>()
  let intervals: Interval[] = []
  const receipts = mapConcurrent(
    plannedShards(store, plan),
    (planned, stop) => receiptOf(store, planned, { size: present?.[planned.shard], signal: stop }),
    { concurrency: RECEIPTS_AT_ONCE, signal },
  )
  for await (const { slice, key, receipt, size, sha256 } of receipts) {
    for (const reject of audit.add(slice, receipt, size)) await rejects.add(reject)
    const { rows, tokens, bodySha256 } = receipt
    await shards.add({ key, bytes: size, rows, rejects: receipt.rejects.length, tokens, bodySha256 })
    hash.update(`${key} ${sha256}\n`)
    const interval = intervalOf(receipt)
    if (interval) intervals.push(interval)
    if (intervals.length >= MANY_INTERVALS) intervals = mergedIntervals(intervals)
  }
  const { totals, rejectReasons } = audit.end()
  await requireUniqueIds(store, plan, totals.rows, { present, signal })
  const removedRows = await countRemovedRows(store, plan, totals.rows, signal)

  let segment = 0
  for await (const rows of batched(shards.rows(), SHARDS_PER_SEGMENT)) {
    await putRows(store, manifestSegmentKey(plan.run, segment), rows)
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
    shards: plan.shards,
    shardsPerSegment: SHARDS_PER_SEGMENT,
    totals,
    rejectReasons,
    quote: plan.quote,
    actualCost: paidFor(plan, totals.tokens, intervals),
    shardsSha256: hash.digest('hex'),
  }
  if ((await putJson(store, manifestKey(run), manifest)) === 'created') return manifest
  // Somebody else's, and perhaps other, since gc took the base in between: what is published is
  // what stands there.
  return (await readManifest(store, run)) ?? manifest
}

function paidFor({ quote }: Plan, tokens: number | null, intervals: readonly Interval[]): ActualCost {
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
