// SWEEP: advances runs by what the store lacks, whatever Redis, workers or producers lost. Every
// producer and every worker sweeps at intervals. Sweeps are idempotent and may run concurrently.

import {
  countPresent,
  failRun,
  isSuperseded,
  type Plan,
  type RunFailure,
  type RunStateRecord,
  readCurrent,
  readManifest,
  readPlan,
  readRunStateRecord,
  readSeq,
  shardsPresent,
  type Version,
} from '@reembed/protocol'
import type { Queue } from '@reembed/queue'
import { messageOf, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { enqueueMissing } from './enqueue.ts'
import { finalize } from './finalize.ts'
import { type PublishOutcome, publish } from './publish.ts'

export type SweepOutcome =
  /** If no shard is missing, another process is finalizing the run. */
  | { readonly run: string; readonly status: 'running'; readonly missing: number; readonly enqueued: number }
  | { readonly run: string; readonly status: 'finished'; readonly publish: PublishOutcome }
  /** A version of a newer run, or a rollback, is current: workers give up its missing shards. */
  | { readonly run: string; readonly status: 'superseded'; readonly missing: number; readonly by: Version }
  /** The run has this state record, so the sweeper does not advance it. */
  | { readonly run: string; readonly status: 'paused' | 'cancelled' | 'deleting' | 'deleted' }
  /** Its state record: it cannot be finalized as it is. */
  | { readonly run: string; readonly status: 'failed'; readonly failure: RunFailure | undefined }
  /** This sweep of the run failed. A fault of the run itself is recorded as its state. */
  | { readonly run: string; readonly status: 'broken'; readonly error: unknown }

export interface Sweeper {
  /**
   * Checks every run that is newer than the current version, oldest first, and advances each by one
   * step.
   * @param awaitedRun a run that the caller waits for: when its shards exist, it is finalized even
   * if a newer version or a rollback supersedes it
   */
  sweep(signal?: AbortSignal, awaitedRun?: string): Promise<SweepOutcome[]>
}

/**
 * A sweeper of one output. It records a run that cannot be finalized as failed; other runs
 * continue.
 */
export function createSweeper(store: Store, queue: Queue): Sweeper {
  async function sweepRun(
    plan: Plan,
    current: Version | undefined,
    signal: AbortSignal | undefined,
  ): Promise<SweepOutcome> {
    const { run } = plan
    const of = { output: store.url, run }
    const record = await readRunStateRecord(store, run)
    const stopped = stoppedOutcome(run, record)
    if (stopped) return stopped
    const manifest = await readManifest(store, run)
    if (manifest)
      return {
        run,
        status: 'finished',
        publish: await publish(store, manifest, { ...plan, signal, actor: SWEEPER }),
      }
    if (await queue.isFinalizing(of)) return { run, status: 'running', missing: 0, enqueued: 0 }
    const present = await shardsPresent(store, plan)
    const missing = plan.shards - countPresent(present)
    if (missing === 0) {
      const finish = async (): Promise<PublishOutcome> =>
        publish(store, await finalize(store, plan, { present, signal }), {
          ...plan,
          signal,
          actor: SWEEPER,
        })
      const published = await queue.withFinalizeLease(of, finish, { ...of, shard: 0 })
      if (published) return { run, status: 'finished', publish: published }
      return { run, status: 'running', missing, enqueued: 0 }
    }
    if (isSuperseded(plan, record, current)) return { run, status: 'superseded', missing, by: current }
    // To enqueue a job that the queue still holds is harmless, but costs a round trip. So jobs are
    // enqueued only when some are lacking, and after a loss of Redis only those that no worker has
    // put back. A failed job is not lacking: it stays failed until an operator enqueues it again.
    const isLacking = async (): Promise<boolean> => {
      const { waiting, active, delayed, failed } = await queue.counts(of)
      if (waiting + active + delayed >= missing) return false
      if (failed === 0) return true
      const failedMissing = [...(await queue.failedShards(of))].filter(shard => present[shard] === 0).length
      return waiting + active + delayed + failedMissing < missing
    }
    const lacking = (await isLacking()) && (!(await queue.settle(signal)) || (await isLacking()))
    return {
      run,
      status: 'running',
      missing,
      enqueued: lacking ? await enqueueMissing(queue, store, plan, present, { signal }) : 0,
    }
  }

  /** The outcome of a run that was stopped while a sweep finished it. */
  async function stoppedMeanwhile(run: string, error: unknown): Promise<SweepOutcome | undefined> {
    if (!(error instanceof ReembedError) || error.code !== 'RUN_STOPPED') return undefined
    const record = await readRunStateRecord(store, run).catch(() => undefined)
    return record && stoppedOutcome(run, record)
  }

  /** If the store refuses the record, the next sweep fails again and records it then. */
  async function recordFailure(run: string, error: unknown): Promise<void> {
    if (!isPermanent(error)) return
    const failure = { code: error.code, message: messageOf(error) }
    await failRun(store, run, failure, 'sweeper').catch(() => {})
  }

  return {
    async sweep(signal, awaitedRun) {
      const current = await readCurrent(store)
      const after = current?.seq ?? 0
      const open = (await readSeq(store, { after })).reverse()
      const awaited = awaitedRun === undefined ? [] : [{ run: awaitedRun, seq: undefined }]
      const outcomes: SweepOutcome[] = []
      for (const { run, seq } of [...awaited, ...open]) {
        signal?.throwIfAborted()
        try {
          const plan = await readPlan(store, run)
          if (plan === undefined) continue
          // A rollback records a new sequence number for a run that is finished. It differs from
          // the number in the run's plan and is skipped here.
          const isDue = seq === undefined ? plan.seq <= after : plan.seq === seq
          if (isDue) outcomes.push(await sweepRun(plan, current, signal))
        } catch (error) {
          // An aborted sweep says nothing about the run.
          signal?.throwIfAborted()
          const stopped = await stoppedMeanwhile(run, error)
          if (stopped) {
            outcomes.push(stopped)
            continue
          }
          await recordFailure(run, error)
          outcomes.push({ run, status: 'broken', error })
        }
      }
      return outcomes
    },
  }
}

/** Undefined for a run that sweeps advance. */
function stoppedOutcome(run: string, { state, failure }: RunStateRecord): SweepOutcome | undefined {
  if (state === 'running') return undefined
  return state === 'failed' ? { run, status: state, failure } : { run, status: state }
}

const SWEEPER = { by: 'sweeper' }

/** Faults of the run itself are permanent; faults of the connection to the store are transient. */
const isPermanent = (error: unknown): error is ReembedError =>
  error instanceof ReembedError &&
  ['UNBALANCED', 'CORRUPT', 'DUPLICATE_ID', 'MODEL_MISMATCH'].includes(error.code)
