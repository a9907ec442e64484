// Builds the shard of a slice: copied from the base run, or embedded.

import { readDocuments } from '@reembed/corpus'
import type { Plan, Receipt, RejectRow, Slice, SourceRecord } from '@reembed/protocol'
import type { Job, JobContext } from '@reembed/queue'
import { type BaseRun, openShardWriter, type ShardBuffer, truncateVectors } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import type { JobBudget } from './budget.ts'
import { addTruncation, createTextMeter, NOTHING_TRUNCATED, truncationOf } from './embed/text-meter.ts'
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
  const { source, rejects, documents: count, truncated, unread, sourceDocuments } = unchanged.receipt
  const nothingPaid = { tokens: 0, truncated, unread, sourceDocuments, repaired: 0 }
  const facts = { source, rejects, documents: count, reused: writer.rows, ...nothingPaid }
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
  let [repaired, reused, reusedDocuments, embedded] = [0, 0, 0, 0]
  const meter = createTextMeter(limitOf(plan), plan.texts)
  let truncation = NOTHING_TRUNCATED
  let sourceDocuments = 0
  async function* counted(): AsyncGenerator<SourceRecord, void, undefined> {
    for await (const record of reader.records) {
      if (record.kind === 'reject' || (record.chunk?.index ?? 0) === 0) sourceDocuments += 1
      yield record
    }
  }
  const progressed = (texts: number): void => {
    embedded += texts
    reportDocuments(reusedDocuments + embedded)
  }
  const startedMs = now()
  const windows = mergeRows(counted(), {
    reuseIndex: baseRun?.reuseIndex(slice),
    layout: plan.layout,
    dimensions: plan.recipe.model.dimensions,
    embed: records =>
      embedder.embed(run, records, { signal, meter, onAnswered: progressed, metered: budget?.metered }),
    truncateVectors: vectors => truncateVectors(vectors, plan.recipe),
    onReused(documents) {
      reusedDocuments += documents.length
      const prompt = plan.recipe.prompt.length
      const texts = documents.map(({ text }) => meter.estimate(prompt + text.length))
      truncation = addTruncation(truncation, truncationOf(texts, meter.limit))
      reportDocuments(reusedDocuments + embedded)
    },
    signal,
  })
  for await (const window of windows) {
    writer.append(window)
    for (const { kind: _, ...reject } of window.rejects) rejects.push(reject)
    tokens = tokens === null || window.tokens === null ? null : tokens + window.tokens
    truncation = addTruncation(truncation, window.truncation)
    repaired += window.repaired
    reused += window.reused
  }
  const facts = {
    source: reader.rangesRead,
    documents: writer.rows + rejects.length,
    rejects: rejects.sort(bySource),
    reused,
    tokens,
    truncated: truncation.truncated,
    ...(meter.limit !== null && { unread: truncation.unread }),
    ...(plan.recipe.chunking && { sourceDocuments }),
    repaired,
    ...(embedded > 0 && { startedMs, endedMs: now() }),
  }
  return { ...writer.finish({ ...identityOf(plan, job.shard), ...facts }), buffer }
}

/**
 * The limit at which the model cuts a text; infinite where it cuts none: chunks fit, and without
 * truncation longer texts are rejects.
 */
const limitOf = ({ recipe: { chunking, truncate }, texts }: Plan): number | null =>
  chunking || !truncate ? Number.POSITIVE_INFINITY : (texts?.limit ?? null)

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
