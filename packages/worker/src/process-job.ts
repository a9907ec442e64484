// Processes one job into one shard: reads the slice, embeds the documents without a vector in the
// base run, and puts the shard if it does not exist. All steps before the put are idempotent: a
// lost or repeated job does no harm.

import {
  isSuperseded,
  type NumberedRunState,
  type Plan,
  pauseReplacedModel,
  readCurrent,
  readRunStateRecord,
  setRunState,
} from '@reembed/protocol'
import type { Job, JobContext } from '@reembed/queue'
import { checkpointKey, ReembedError, shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { JobBudget, JobBudgets } from './budget.ts'
import { type BuiltShard, buildShard, type ShardInput } from './build-shard.ts'
import { carryShard } from './carry-shard.ts'
import { readConcurrentShard } from './concurrent-shard.ts'
import type { Embedder } from './embedder.ts'
import type { JobResult, PutShard } from './job-result.ts'
import type { OpenRun } from './run-cache.ts'

export interface ProcessJobContext
  extends Pick<JobContext, 'reportDocuments' | 'signal'>,
    Pick<ShardInput, 'now' | 'stop' | 'ids' | 'timer' | 'onAnswered'> {
  /** Required for runs with a budget; without it, jobs of such runs end as `stopped`. */
  readonly budgets?: JobBudgets | undefined
}

/**
 * Builds and puts the shard of a job, unless the shard exists. @throws ReembedError; the queue
 * follows its `retry`
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
  const slice = await run.slice(job.shard)
  if (await store.head(key, { signal })) {
    try {
      await readConcurrentShard(store, key, plan, job.shard, slice)
    } catch (error) {
      // The object of another program makes no job of a run that is over wait for an operator.
      if ((await runningStateOf(store, plan)) === undefined) return { status: 'stopped' }
      throw error
    }
    return { status: 'already_done' }
  }
  // Resuming a run re-enqueues its missing shards.
  const runState = await runningStateOf(store, plan)
  if (runState === undefined) return { status: 'stopped' }

  const baseRuns = await run.baseRuns()
  const carried = await carryShard(job, run, slice, baseRuns, signal)
  if (carried) return carried
  const input = { job, run, slice, baseRuns, ...context }
  try {
    return await embed(input, embedder, runState, context.budgets)
  } catch (error) {
    if (!(error instanceof ReembedError) || error.code !== 'MODEL_MISMATCH') throw error
    const { now = Date.now } = context
    // An object of another run that cannot be read is no fault of this job.
    const isPaused = await pauseReplacedModel(store, plan, runState, now()).catch(() => false)
    if (isPaused) return { status: 'stopped' }
    throw error
  }
}

/** The state of a run that runs, and that no newer version supersedes; undefined for others. */
async function runningStateOf(store: Store, plan: Plan): Promise<NumberedRunState | undefined> {
  const runState = await readRunStateRecord(store, plan.run)
  if (runState.state !== 'running') return undefined
  // Its model may never be served again: the job must leave the queue, or it keeps the autoscaler's
  // workers and GPUs.
  if (isSuperseded(plan, runState, await readCurrent(store))) return undefined
  return runState
}

/** Embeds and puts the shard within the budget of the run, if it has one. */
async function embed(
  input: ShardInput,
  embedder: Pick<Embedder, 'embed'>,
  runState: NumberedRunState,
  budgets: JobBudgets | undefined,
): Promise<JobResult> {
  const { run } = input
  const build = (budget?: JobBudget): Promise<BuiltShard> =>
    buildShard(embedder, input, budget).catch((error: unknown) => checkCorpus(run, error))
  if (runState.maxTokens === undefined && runState.maxEndpointSeconds === undefined) {
    return keep(input, await build())
  }
  // The worker that would exceed the budget pauses the run for all workers; a higher budget resumes
  // it.
  try {
    if (budgets === undefined) return { status: 'stopped' }
    const reserving = budgets.reserve(run, runState)
    await using budget = await (input.timer?.during('redis', reserving) ?? reserving)
    return await keep(input, await build(budget))
  } catch (error) {
    if (!(error instanceof ReembedError) || error.code !== 'RUN_STOPPED') throw error
    await setRunState(run.store, run.plan.run, 'paused', {
      budgetExceeded: error.message,
      by: 'worker',
      onlyRunning: true,
    })
    return { status: 'stopped' }
  }
}

/**
 * Rejects with `error`, or with SOURCE_NOT_FOUND for a corpus without any object: a folder that
 * this worker has not mounted is a fault of the worker, not a changed corpus.
 */
async function checkCorpus({ source }: OpenRun, error: unknown): Promise<never> {
  if (error instanceof ReembedError && error.code === 'SOURCE_CHANGED') {
    const { done } = await source.list('').next()
    if (done)
      throw new ReembedError(
        'SOURCE_NOT_FOUND',
        `the corpus ${source.url} is empty for this worker: mount it, or give the worker the address and the rights of the producer`,
      )
  }
  throw error
}

/**
 * Puts a whole shard. Of an interrupted one it puts a checkpoint, then throws what interrupted it.
 */
async function keep(input: ShardInput, built: BuiltShard): Promise<PutShard> {
  if (built.interruptedBy === undefined) return put(input, built)
  await putCheckpoint(input, built)
  throw built.interruptedBy
}

/** Without its checkpoint, the next attempt embeds more: a failed put is no fault of the job. */
async function putCheckpoint(
  { job: { shard }, run: { store, plan, buffers }, signal }: ShardInput,
  { receipt, sha256, buffer }: BuiltShard,
): Promise<void> {
  const key = checkpointKey(plan.run, shard, plan.shards, sha256.slice(0, 16))
  const isPaid = receipt.startedMs !== undefined && receipt.rows > 0
  if (isPaid) await store.putIfAbsent(key, buffer.bytes(), { sha256, signal }).catch(() => {})
  buffers.release(buffer)
}

async function put(
  { job: { shard }, run: { store, plan, buffers }, slice, signal }: ShardInput,
  { receipt, sha256, buffer }: BuiltShard,
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
    return { status: 'already_exists', ...(await readConcurrentShard(store, key, plan, shard, slice)) }
  return { status: 'put', receipt, bytes: bytes.length }
}
