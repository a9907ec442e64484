// One job in, one shard out. This is DESIGN section 1 as code: read the slice, embed its documents (those that the
// base does not know), put the shard if nobody else has. Everything before the put may be lost or done twice without harm.

import {
  type Base,
  type CarriedShard,
  type Job,
  type JobContext,
  type Plan,
  type Receipt,
  ReembedError,
  type RejectRow,
  readDocuments,
  readReceipt,
  readRunState,
  type Slice,
  type Store,
  shardKey,
} from '@reembed/shared'
import type { ShardBuffer } from '@reembed/shared/parquet'
import type { Embedder } from './embedder.ts'
import { rowsOf } from './reuse.ts'
import type { OpenRun } from './runs.ts'
import { cutVectors } from './shard/cut.ts'
import { openShardWriter } from './shard/open.ts'

/**
 * Makes the shard of a job, or finds it made. Returns the receipt of a shard that it put itself.
 * @throws ReembedError; `retry` says what the queue shall do.
 */
export async function work(
  job: Job,
  run: OpenRun,
  embedder: Pick<Embedder, 'embed'>,
  { signal, documents }: Pick<JobContext, 'signal' | 'documents'>,
): Promise<
  | { status: 'put' | 'was_there'; receipt: Receipt; bytes: number }
  | { status: 'done_before' }
  | { status: 'stopped' }
> {
  const { store, plan } = run
  const key = shardKey(plan.run, job.shard, plan.shards)
  if (await store.head(key, { signal })) {
    await twinOf(store, key, plan, job.shard)
    return { status: 'done_before' }
  }
  // Whoever lets the run go on queues what is missing again.
  if ((await readRunState(store, plan.run)) !== 'running') return { status: 'stopped' }

  const slice = await run.slice(job.shard)
  const base = await run.base()
  const twin = await base?.carried(slice, signal)
  const making: Making = { job, run, slice, base, signal, documents }
  const made = (twin && (await carryOver(twin, making))) ?? (await embedSlice(embedder, making))
  signal.throwIfAborted()

  const { receipt, buffer } = made
  const bytes = buffer.bytes()
  const outcome = await store.putIfAbsent(key, bytes, {
    contentType: 'application/vnd.apache.parquet',
    sha256: made.sha256,
    signal,
  })
  run.buffers.giveBack(buffer)
  if (outcome === 'exists') return { status: 'was_there', ...(await twinOf(store, key, plan, job.shard)) }
  return { status: 'put', receipt, bytes: bytes.length }
}

interface Making {
  readonly job: Job
  readonly run: OpenRun
  readonly slice: Slice
  readonly base: Base | undefined
  readonly signal: AbortSignal
  readonly documents: JobContext['documents']
}

interface Made {
  readonly receipt: Receipt
  readonly sha256: string
  readonly buffer: ShardBuffer
}

/** Nothing of the slice has changed: its rows of the base under a receipt of this run. Undefined if they are damaged. */
async function carryOver(twin: CarriedShard, { job, run, documents }: Making): Promise<Made | undefined> {
  const { plan } = run
  const buffer = run.buffers.take()
  const writer = await openShardWriter(plan, buffer.sink)
  try {
    for await (const { ids, hashes, vectors, extra } of twin.rows()) {
      writer.append({ ids, hashes, vectors, extra: [...extra.values()] })
      documents(writer.rows)
    }
  } catch (error) {
    run.buffers.giveBack(buffer)
    if (error instanceof ReembedError && error.code === 'CORRUPT') return undefined
    throw error
  }
  const { source, rejects, documents: count } = twin.receipt
  const nothingPaid = { tokens: 0, truncated: 0, repaired: 0 }
  const facts = { source, rejects, documents: count, reused: writer.rows, ...nothingPaid }
  return { ...writer.finish({ ...identityOf(plan, job.shard), ...facts }), buffer }
}

async function embedSlice(
  embedder: Pick<Embedder, 'embed'>,
  { job, run, slice, base, signal, documents }: Making,
): Promise<Made> {
  const { plan, store, source } = run
  const buffer = run.buffers.take()
  const writer = await openShardWriter(plan, buffer.sink)
  const reader = await readDocuments({ source, output: store }, plan, slice, signal)
  const rejects: RejectRow[] = []
  let tokens: number | null = 0
  let [truncated, repaired, reused, done] = [0, 0, 0, 0]
  const progressed = (more: number): void => {
    done += more
    documents(done)
  }
  const windows = rowsOf(reader.records, {
    known: base?.known(slice),
    layout: plan.layout,
    dimensions: plan.recipe.model.dimensions,
    embed: records => embedder.embed(run, records, signal, progressed),
    cut: vectors => cutVectors(vectors, plan.recipe),
    onKnown: progressed,
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
    source: reader.read,
    documents: writer.rows + rejects.length,
    rejects: rejects.sort(bySource),
    reused,
    tokens,
    truncated,
    repaired,
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
