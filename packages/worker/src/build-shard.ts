// Builds the shard of a slice whose documents are not all unchanged.

import { readDocuments } from '@reembed/corpus'
import type { Plan, Receipt, RejectRow, Slice, SourceRecord } from '@reembed/protocol'
import type { Job, JobContext, JobStop } from '@reembed/queue'
import {
  type BaseRuns,
  canHaveMajority,
  createRepeatedVectors,
  isMostlyRepeated,
  openCheckpoints,
  openShardWriter,
  REPEATED_CAUSES,
  type ReuseIndex,
  type ShardBuffer,
  searchInOrder,
  truncateVectors,
} from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import type { JobTimer } from './activity.ts'
import type { JobBudget } from './budget.ts'
import { addTruncation, createTextMeter, NOTHING_TRUNCATED, truncationOf } from './embed/text-meter.ts'
import { bySource } from './embed.ts'
import type { Embedder } from './embedder.ts'
import type { IdWatch } from './id-watch.ts'
import { mergeRows } from './merge-rows.ts'
import type { OpenRun } from './run-cache.ts'

/** The inputs of a shard. */
export interface ShardInput {
  readonly job: Job
  readonly run: OpenRun
  readonly slice: Slice
  readonly baseRuns: BaseRuns | undefined
  readonly signal: AbortSignal
  readonly stop?: JobStop | undefined
  readonly reportDocuments: JobContext['reportDocuments']
  /** Called after each answered request. Reused vectors prove nothing about the endpoint. */
  readonly onAnswered?: (() => void) | undefined
  readonly ids?: IdWatch | undefined
  /** Measures what the job waits for. */
  readonly timer?: JobTimer | undefined
  /** Wall-clock time in milliseconds, for the receipt; the simulation replaces it. */
  readonly now?: (() => number) | undefined
}

export interface BuiltShard {
  readonly receipt: Receipt
  readonly sha256: string
  readonly buffer: ShardBuffer
  /**
   * Set if the job had to stop or failed: the file holds some rows of the slice, and is a
   * checkpoint instead of a shard.
   */
  readonly interruptedBy?: unknown
}

/**
 * Builds the shard of a slice: vectors of the base runs for unchanged documents, embeddings for the
 * others. Vectors that an interrupted attempt left in checkpoints count as embedded.
 */
export async function buildShard(
  embedder: Pick<Embedder, 'embed'>,
  {
    job,
    run,
    slice,
    baseRuns,
    signal,
    stop,
    reportDocuments,
    onAnswered,
    ids,
    timer,
    now = Date.now,
  }: ShardInput,
  budget?: JobBudget,
): Promise<BuiltShard> {
  const { plan, store, source } = run
  const checkpoints = await openCheckpoints(store, plan, job.shard, signal)
  const resumed = checkpoints && countingIndex(checkpoints.index)
  const known = [resumed, baseRuns?.reuseIndex(slice)].filter(index => index !== undefined)
  const buffer = run.buffers.acquire()
  const writer = await openShardWriter(plan, buffer.sink)
  const reader = await readDocuments({ source, output: store }, plan, slice, signal)
  const rejects: RejectRow[] = []
  let { tokens = 0, repaired = 0 }: Partial<Receipt> = checkpoints?.receipt ?? {}
  let [reused, reusedDocuments, embedded, omitted] = [0, 0, 0, 0]
  const meter = createTextMeter(limitOf(plan), plan.texts)
  let truncation = NOTHING_TRUNCATED
  let sourceDocuments = 0
  const { dimensions } = plan.recipe.model
  const repeated = createRepeatedVectors(dimensions)
  async function* counted(): AsyncGenerator<SourceRecord, void, undefined> {
    for await (const record of reader.records) {
      if (record.kind === 'reject' || (record.chunk?.index ?? 0) === 0) sourceDocuments += 1
      yield record
    }
  }
  const progressed = (texts: number): void => {
    embedded += texts
    onAnswered?.()
    reportDocuments(reusedDocuments + embedded)
  }
  const startedMs = now()
  const repeatedTexts = (await run.repeatedTexts()).begin()
  const windows = mergeRows(counted(), {
    reuseIndex: known.length > 0 ? searchInOrder(known) : undefined,
    repeated: repeatedTexts,
    maxRepeatedBytes: maxRepeatedBytes(plan, meter.limit),
    layout: plan.layout,
    dimensions,
    embed: records =>
      embedder.embed(run, records, {
        signal,
        stop,
        meter,
        timer,
        onAnswered: progressed,
        metered: budget?.metered,
      }),
    truncateVectors: vectors => truncateVectors(vectors, plan.recipe),
    // Also documents whose vectors are in a checkpoint.
    onReused(documents) {
      reusedDocuments += documents.length
      const prompt = plan.recipe.prompt.length
      const texts = documents.map(({ text }) => meter.estimate(prompt + text.length))
      truncation = addTruncation(truncation, truncationOf(texts, meter.limit))
      reportDocuments(reusedDocuments + embedded)
    },
    stop,
    timer,
    signal,
  })
  const watched = ids?.begin(run, job.shard)
  let interruptedBy: unknown
  try {
    for await (const window of windows) {
      if (canHaveMajority(window.vectors, dimensions)) repeated.add(window)
      writer.append(window)
      for (const { kind: _, ...reject } of window.rejects) rejects.push(reject)
      tokens = tokens === null || window.tokens === null ? null : tokens + window.tokens
      truncation = addTruncation(truncation, window.truncation)
      repaired += window.repaired
      reused += window.reused
      omitted += window.omitted
      // After `append`, so that a checkpoint keeps the rows.
      await watched?.add(window.ids, signal)
    }
    if (omitted > 0) interruptedBy = stop?.begun.reason ?? new Error('the job had to stop')
  } catch (error) {
    if (embedded === 0 || writer.rows === 0 || signal.aborted) throw error
    interruptedBy = error
  }
  const isWhole = interruptedBy === undefined
  if (isWhole && isMostlyRepeated(repeated, writer.rows, truncation.truncated))
    throw nonsense(repeated.majority, writer.rows, job.shard)
  if (isWhole) repeatedTexts.complete()
  const facts = {
    source: isWhole ? reader.rangesRead : [],
    documents: writer.rows + (isWhole ? rejects.length : 0),
    rejects: isWhole ? rejects.sort(bySource) : [],
    reused: reused - (resumed?.found ?? 0),
    tokens,
    truncated: truncation.truncated,
    ...(meter.limit !== null && { unread: truncation.unread }),
    ...(plan.recipe.chunking && { sourceDocuments }),
    repaired,
    ...(Object.keys(reader.nulled).length > 0 && { nulled: reader.nulled }),
    ...(embedded > 0 && { startedMs, endedMs: now() }),
  }
  return { ...writer.finish({ ...identityOf(plan, job.shard), ...facts }), buffer, interruptedBy }
}

/** The model reads all of such a text: each token has a byte, and 8 are left for special tokens. */
const maxRepeatedBytes = ({ recipe }: Plan, limit: number | null): number =>
  Math.min(1_024, (limit ?? Number.POSITIVE_INFINITY) - Buffer.byteLength(recipe.prompt) - 8)

/**
 * A server that returns one vector for all texts passes every check of a single reply, if its
 * requests are small.
 */
const nonsense = (repeated: number, rows: number, shard: number): ReembedError =>
  new ReembedError(
    'REPLY_INVALID',
    `shard ${shard}: ${repeated} of its ${rows} texts have the same vector as most others; ${REPEATED_CAUSES}`,
    { retry: 'retry' },
  )

/** An index that counts the vectors that it gave. */
function countingIndex(index: ReuseIndex) {
  let found = 0
  return {
    get found() {
      return found
    },
    has: index.has,
    async findVectors(...lookUp: Parameters<ReuseIndex['findVectors']>) {
      const vectors = await index.findVectors(...lookUp)
      found += vectors.filter(vector => vector !== undefined).length
      return vectors
    },
  }
}

/**
 * The limit at which the model cuts a text; infinite where it cuts none: chunks fit, and without
 * truncation longer texts are rejects.
 */
const limitOf = ({ recipe: { chunking, truncate }, texts }: Plan): number | null =>
  chunking || !truncate ? Number.POSITIVE_INFINITY : (texts?.limit ?? null)

const identityOf = (plan: Plan, shard: number) => ({
  run: plan.run,
  shard,
  shards: plan.shards,
  spaceId: plan.spaceId,
  recipeId: plan.recipeId,
  model: plan.recipe.model,
})
