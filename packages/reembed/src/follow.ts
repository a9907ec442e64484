// Follows a run to its end: sweeps, so that it ends whatever happens to Redis or to workers, and tells how far it is.

import { setTimeout as wait } from 'node:timers/promises'
import { countPresent, type PublishOutcome, type Sweeper, shardsPresent } from '@reembed/producer'
import {
  deletionReason,
  isDeletion,
  type Plan,
  type RunBudget,
  type RunStateRecord,
  readRunStateRecord,
  setRunState,
} from '@reembed/protocol'
import type { Queue } from '@reembed/queue'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { ProgressFacts } from './progress-line.ts'

export interface FollowOptions {
  readonly store: Store
  readonly queue: Queue
  readonly sweeper: Sweeper
  readonly plan: Plan
  readonly show: (facts: Omit<ProgressFacts, 'endpoint' | 'endpointErrors'>) => void
  readonly signal: AbortSignal
}

const POLL_MS = 300
const SWEEP_MS = 30_000
/** After the queue ran empty with shards missing: Redis was emptied, or the last jobs are just being noted. */
const IDLE_SWEEP_MS = 2_000

/**
 * Resolves when the run is finished and published (or held back).
 * @throws ReembedError SHARD_FAILED when all that is missing has failed for good; what does not balance as finalize says it.
 */
export async function follow({
  store,
  queue,
  sweeper,
  plan,
  show,
  signal,
}: FollowOptions): Promise<PublishOutcome> {
  const { run, shards, estimatedDocuments } = plan
  const present = countPresent(await shardsPresent(store, plan))
  // Redis counts what it saw happen; the store says what was there before, also when Redis forgot.
  let before = present - (await queue.progress(run)).shards
  let sweptMs = Date.now()
  while (true) {
    signal.throwIfAborted()
    const [progress, counts] = await Promise.all([queue.progress(run), queue.counts()])
    const shardsDone = Math.min(shards, Math.max(0, before + progress.shards))
    const perShard = estimatedDocuments / shards
    const documentsDone = Math.max(0, before) * perShard + progress.documents + progress.openDocuments
    show({ shards, shardsDone, documents: estimatedDocuments, documentsDone, rejects: progress.rejects })

    const idle = counts.waiting + counts.active + counts.delayed === 0
    const sinceMs = Date.now() - sweptMs
    if (shardsDone === shards || sinceMs > SWEEP_MS || (idle && sinceMs > IDLE_SWEEP_MS)) {
      sweptMs = Date.now()
      const outcome = (await sweeper.sweep(signal, run)).find(swept => swept.run === run)
      if (outcome?.status === 'finished') return outcome.publish
      if (outcome?.status === 'broken') throw outcome.error
      if (outcome && ['paused', 'cancelled', 'deleting', 'deleted'].includes(outcome.status))
        throw runStoppedError(run, await readRunStateRecord(store, run))
      if (outcome?.status === 'running') {
        before = shards - outcome.missing - (await queue.progress(run)).shards
        await failIfAllFailed(queue, plan, outcome.missing)
      }
    }
    await wait(POLL_MS, undefined, { signal })
  }
}

/** A failed job stays with the queue, so as many of them as shards are missing means that nobody works on the run. */
async function failIfAllFailed(queue: Queue, { run }: Plan, missing: number): Promise<void> {
  const failures = await queue.failures(run, missing)
  const [first] = failures
  if (first === undefined || failures.length < missing) return
  const reason = first.reason.replace(/\.$/, '')
  throw new ReembedError(
    'SHARD_FAILED',
    `${missing === 1 ? `shard ${first.shard}` : `${missing} shards, the first of them ${first.shard},`} could not be made: ${reason}. The others are kept; when it is mended, the same command makes the rest`,
  )
}

/** The error for a run that somebody has paused, cancelled or begun to remove, or that has used up its limits. */
export function runStoppedError(run: string, record: RunStateRecord): ReembedError {
  const { state, budgetExceeded } = record
  const why = isDeletion(state)
    ? deletionReason(record)
    : budgetExceeded === undefined
      ? `is ${state}: \`reembed resume ${run}\` lets it go on`
      : `is ${state}: ${budgetExceeded}. What is finished is kept; the same command with a higher limit goes on`
  return new ReembedError('RUN_STOPPED', `run ${run} ${why}`)
}

/**
 * Says what the run may use from now on. A run that has used up its limits goes on with higher ones.
 * @throws ReembedError RUN_STOPPED where somebody has stopped it, or the limits are those that it has used up
 */
export async function applyBudget(store: Store, run: string, budget: RunBudget): Promise<void> {
  const record = await readRunStateRecord(store, run)
  const isSame =
    record.maxTokens === budget.maxTokens && record.maxEndpointSeconds === budget.maxEndpointSeconds
  if (record.state !== 'running' && (record.budgetExceeded === undefined || isSame))
    throw runStoppedError(run, record)
  if (!isSame) await setRunState(store, run, 'running', { budget })
}
