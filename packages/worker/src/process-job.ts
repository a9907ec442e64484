// One job in, one shard out. This is DESIGN section 1 as code: read the slice, embed its documents
// (those that the base does not know), put the shard if nobody else has. Everything before the put
// may be lost or done twice without harm.

import { type Plan, type Receipt, readRunStateRecord, setRunState } from '@reembed/protocol'
import type { Job, JobContext } from '@reembed/queue'
import { readReceipt } from '@reembed/shard'
import { ReembedError, shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { JobBudgets } from './budget.ts'
import { type BuiltShard, buildShard, copyUnchangedShard, type ShardInput } from './build-shard.ts'
import type { Embedder } from './embedder.ts'
import type { JobResult, PutShard } from './job-result.ts'
import type { OpenRun } from './run-cache.ts'

export interface ProcessJobContext
  extends Pick<JobContext, 'reportDocuments' | 'signal'>,
    Pick<ShardInput, 'now'> {
  /** Asked for runs that have limits; without it such a run is left to others. */
  readonly budgets?: JobBudgets | undefined
}

/**
 * Makes the shard of a job, or finds it made. Returns the receipt of a shard that it put itself.
 * @throws ReembedError; `retry` says what the queue shall do.
 */
export async function processJob(
  job: Job,
  run: OpenRun,
  embedder: Pick<Embedder, 'embed'>,
  context: ProcessJobContext,
): Promise<JobResult> {
  const { store, plan } = run
  const { signal } = context
  const key = shardKey(plan.run, job.shard, plan.shards)
  if (await store.head(key, { signal })) {
    await readConcurrentShard(store, key, plan, job.shard)
    return { status: 'already_done' }
  }
  // Whoever lets the run go on queues what is missing again.
  const runState = await readRunStateRecord(store, plan.run)
  if (runState.state !== 'running') return { status: 'stopped' }

  const input = { job, run, slice: await run.slice(job.shard), baseRun: await run.baseRun(), ...context }
  const carried = await copyUnchangedShard(input)
  if (carried) return put(job, run, carried, signal)
  if (runState.maxTokens === undefined && runState.maxEndpointSeconds === undefined) {
    return put(job, run, await buildShard(embedder, input), signal)
  }
  // Within its limits; the worker that would go over them says so to all, and the run can be let go
  // on with others.
  try {
    if (context.budgets === undefined) return { status: 'stopped' }
    await using budget = await context.budgets.reserve(run, runState)
    return await put(job, run, await buildShard(embedder, input, budget), signal)
  } catch (error) {
    if (!(error instanceof ReembedError) || error.code !== 'RUN_STOPPED') throw error
    await setRunState(store, plan.run, 'paused', { budgetExceeded: error.message })
    return { status: 'stopped' }
  }
}

async function put(
  { shard }: Job,
  { store, plan, buffers }: OpenRun,
  { receipt, sha256, buffer }: BuiltShard,
  signal: AbortSignal,
): Promise<PutShard> {
  signal.throwIfAborted()
  const key = shardKey(plan.run, shard, plan.shards)
  const bytes = buffer.bytes()
  const outcome = await store.putIfAbsent(key, bytes, {
    contentType: 'application/vnd.apache.parquet',
    sha256,
    signal,
  })
  buffers.release(buffer)
  if (outcome === 'exists')
    return { status: 'already_exists', ...(await readConcurrentShard(store, key, plan, shard)) }
  return { status: 'put', receipt, bytes: bytes.length }
}

/**
 * Another worker was first: its shard is as good as ours, if it is the shard of this run at all.
 */
async function readConcurrentShard(
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
