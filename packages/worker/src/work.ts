// One job in, one shard out. This is DESIGN section 1 as code: read the slice, embed its documents, put the shard
// if nobody else has. Everything before the put may be lost or done twice without harm.

import { hash } from 'node:crypto'
import {
  HASH_BYTES,
  type Job,
  type JobContext,
  type Plan,
  type Receipt,
  ReembedError,
  type RejectRow,
  readDocuments,
  readReceipt,
  readRunWord,
  type Store,
  setRunState,
  shardKey,
} from '@reembed/shared'
import { extraValues } from '@reembed/shared/parquet'
import type { Budgets, JobBudget } from './budget.ts'
import type { EmbeddedWindow } from './embed.ts'
import type { Embedder } from './embedder.ts'
import type { OpenRun } from './runs.ts'
import { cutVectors } from './shard/cut.ts'
import { openShardWriter } from './shard/open.ts'

export interface WorkContext extends Pick<JobContext, 'signal' | 'documents'> {
  /** Asked for runs that have limits; without it such a run is left to others. */
  readonly budgets?: Budgets | undefined
}

/**
 * Makes the shard of a job, or finds it made. Returns the receipt of a shard that it put itself.
 * @throws ReembedError; `retry` says what the queue shall do.
 */
export async function work(
  job: Job,
  run: OpenRun,
  embedder: Pick<Embedder, 'embed'>,
  context: WorkContext,
): Promise<Made | { status: 'done_before' } | { status: 'stopped' }> {
  const { store, plan } = run
  const key = shardKey(plan.run, job.shard, plan.shards)
  if (await store.head(key, { signal: context.signal })) {
    await twinOf(store, key, plan, job.shard)
    return { status: 'done_before' }
  }
  // Whoever lets the run go on queues what is missing again.
  const word = await readRunWord(store, plan.run)
  if (word.state !== 'running') return { status: 'stopped' }
  if (word.maxTokens === undefined && word.maxEndpointSeconds === undefined) {
    return embedSlice(job, run, embedder, context)
  }
  // Within its limits; the worker that would go over them says so to all, and the run can be let go on with others.
  try {
    if (context.budgets === undefined) return { status: 'stopped' }
    await using budget = await context.budgets.begin(run, word)
    return await embedSlice(job, run, embedder, context, budget)
  } catch (error) {
    if (!(error instanceof ReembedError) || error.code !== 'RUN_STOPPED') throw error
    await setRunState(store, plan.run, 'paused', { spent: error.message })
    return { status: 'stopped' }
  }
}

type Made = { status: 'put' | 'was_there'; receipt: Receipt; bytes: number }

async function embedSlice(
  job: Job,
  run: OpenRun,
  embedder: Pick<Embedder, 'embed'>,
  { signal, documents }: WorkContext,
  budget?: JobBudget,
): Promise<Made> {
  const { store, source, plan } = run
  const key = shardKey(plan.run, job.shard, plan.shards)

  const buffer = run.buffers.take()
  const writer = await openShardWriter(plan, buffer.sink)
  const reader = await readDocuments({ source, output: store }, plan, await run.slice(job.shard), signal)
  const rejects: RejectRow[] = []
  let tokens: number | null = 0
  let truncated = 0
  let repaired = 0
  let embedded = 0
  const progressed = (texts: number): void => {
    embedded += texts
    documents(embedded)
  }
  const startedMs = Date.now()
  for await (const window of embedder.embed(run, reader.records, signal, progressed, budget?.metered)) {
    writer.append({
      ids: window.documents.map(({ id }) => id),
      hashes: hashesOf(window),
      vectors: cutVectors(window.vectors, plan.recipe),
      extra: extraValues(window.documents, plan.layout),
      written: window.release,
    })
    for (const { kind: _, ...reject } of window.rejects) rejects.push(reject)
    tokens = tokens === null || window.tokens === null ? null : tokens + window.tokens
    truncated += window.truncated
    repaired += window.repaired
  }
  signal.throwIfAborted()

  const { receipt, sha256 } = writer.finish({
    ...identityOf(plan, job.shard),
    source: reader.read,
    documents: writer.rows + rejects.length,
    rejects,
    tokens,
    truncated,
    repaired,
    ...(embedded > 0 && { startedMs, endedMs: Date.now() }),
  })
  const bytes = buffer.bytes()
  const outcome = await store.putIfAbsent(key, bytes, {
    contentType: 'application/vnd.apache.parquet',
    sha256,
    signal,
  })
  run.buffers.giveBack(buffer)
  if (outcome === 'exists') return { status: 'was_there', ...(await twinOf(store, key, plan, job.shard)) }
  return { status: 'put', receipt, bytes: bytes.length }
}

const identityOf = (plan: Plan, shard: number) => ({
  run: plan.run,
  shard,
  shards: plan.shards,
  spaceId: plan.spaceId,
  recipeId: plan.recipeId,
  model: plan.recipe.model,
})

/** Another worker was first: its shard is as good as ours, if it is the shard of this run at all. */
async function twinOf(
  store: Store,
  key: string,
  plan: Plan,
  shard: number,
): Promise<{ receipt: Receipt; bytes: number }> {
  const { receipt, size } = await readReceipt(store, key)
  if (receipt.run === plan.run && receipt.shard === shard && receipt.spaceId === plan.spaceId)
    return { receipt, bytes: size }
  throw new ReembedError(
    'CORRUPT',
    `${key} in ${store.url} is taken by a shard of another run (${receipt.run}); it was left as it is`,
  )
}

/** First 16 bytes of the SHA-256 of each text: what tells an edited document from an unchanged one. */
function hashesOf({ documents }: EmbeddedWindow): Uint8Array {
  const hashes = new Uint8Array(documents.length * HASH_BYTES)
  for (const [row, { text }] of documents.entries()) {
    hashes.set(hash('sha256', text, 'buffer').subarray(0, HASH_BYTES), row * HASH_BYTES)
  }
  return hashes
}
