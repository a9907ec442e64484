// Builds the shard of a slice: copied from the base run, or embedded.

import { readDocuments } from '@reembed/corpus'
import type { Plan, Receipt, RejectRow, Slice } from '@reembed/protocol'
import type { Job, JobContext } from '@reembed/queue'
import { type BaseRun, openShardWriter, type ShardBuffer, truncateVectors } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import type { JobBudget } from './budget.ts'
import type { Embedder } from './embedder.ts'
import { mergeRows } from './merge-rows.ts'
import type { OpenRun } from './run-cache.ts'

/** The inputs of a shard. */
export interface ShardInput {
  readonly job: Job
  readonly run: OpenRun
  readonly slice: Slice
  readonly baseRun: BaseRun | undefined
  readonly signal: AbortSignal
  readonly reportDocuments: JobContext['reportDocuments']
  /** Wall-clock time in milliseconds, for the receipt; the simulation replaces it. */
  readonly now?: (() => number) | undefined
}

export interface BuiltShard {
  readonly receipt: Receipt
  readonly sha256: string
  readonly buffer: ShardBuffer
}

/**
 * Copies the rows of the base run into a shard with a receipt of this run, where no document of the
 * slice has changed. Undefined where a document has changed, or where the rows of the base run are
 * corrupt.
 */
export async function copyUnchangedShard({
  job,
  run,
  slice,
  baseRun,
  signal,
  reportDocuments,
}: ShardInput): Promise<BuiltShard | undefined> {
  const unchanged = await baseRun?.reusableShard(slice, signal)
  if (unchanged === undefined) return undefined
  const { plan } = run
  const buffer = run.buffers.acquire()
  const writer = await openShardWriter(plan, buffer.sink)
  try {
    for await (const { ids, hashes, vectors, extra } of unchanged.rows()) {
      writer.append({ ids, hashes, vectors, extra: [...extra.values()] })
      reportDocuments(writer.rows)
    }
  } catch (error) {
    run.buffers.release(buffer)
    if (error instanceof ReembedError && error.code === 'CORRUPT') return undefined
    throw error
  }
  const { source, rejects, documents: count, nulled } = unchanged.receipt
  const nothingPaid = { tokens: 0, truncated: 0, repaired: 0 }
  const facts = { source, rejects, documents: count, reused: writer.rows, nulled, ...nothingPaid }
  return { ...writer.finish({ ...identityOf(plan, job.shard), ...facts }), buffer }
}

/**
 * Builds the shard of a slice: vectors of the base run for unchanged documents, embeddings for the
 * others.
 */
export async function buildShard(
  embedder: Pick<Embedder, 'embed'>,
  { job, run, slice, baseRun, signal, reportDocuments, now = Date.now }: ShardInput,
  budget?: JobBudget,
): Promise<BuiltShard> {
  const { plan, store, source } = run
  const buffer = run.buffers.acquire()
  const writer = await openShardWriter(plan, buffer.sink)
  const reader = await readDocuments({ source, output: store }, plan, slice, signal)
  const rejects: RejectRow[] = []
  let tokens: number | null = 0
  let [truncated, repaired, reused, reusedDocuments, embedded] = [0, 0, 0, 0, 0]
  const progressed = (texts: number): void => {
    embedded += texts
    reportDocuments(reusedDocuments + embedded)
  }
  const startedMs = now()
  const windows = mergeRows(reader.records, {
    reuseIndex: baseRun?.reuseIndex(slice),
    layout: plan.layout,
    dimensions: plan.recipe.model.dimensions,
    embed: records => embedder.embed(run, records, signal, progressed, budget?.metered),
    truncateVectors: vectors => truncateVectors(vectors, plan.recipe),
    onReused(more) {
      reusedDocuments += more
      reportDocuments(reusedDocuments + embedded)
    },
    signal,
  })
  for await (const window of windows) {
    writer.append(window)
    for (const { kind: _, ...reject } of window.rejects) rejects.push(reject)
    tokens = tokens === null || window.tokens === null ? null : tokens + window.tokens
    truncated += window.truncated
    repaired += window.repaired
    reused += window.reused
  }
  const facts = {
    source: reader.rangesRead,
    documents: writer.rows + rejects.length,
    rejects: rejects.sort(bySource),
    reused,
    tokens,
    truncated,
    repaired,
    ...(Object.keys(reader.nulled).length > 0 && { nulled: reader.nulled }),
    ...(embedded > 0 && { startedMs, endedMs: now() }),
  }
  return { ...writer.finish({ ...identityOf(plan, job.shard), ...facts }), buffer }
}

const bySource = ({ position: a }: RejectRow, { position: b }: RejectRow): number =>
  a.part - b.part || a.offset - b.offset

const identityOf = (plan: Plan, shard: number) => ({
  run: plan.run,
  shard,
  shards: plan.shards,
  spaceId: plan.spaceId,
  recipeId: plan.recipeId,
  model: plan.recipe.model,
})
