// SWEEP: advances runs by what the store lacks, whatever Redis, workers or producers lost. Every
// producer and every worker sweeps at intervals. Sweeps are idempotent and may run concurrently.

import {
  isOvertaken,
  type Plan,
  readCurrent,
  readManifest,
  readPlan,
  readRunStateRecord,
  readSeq,
  type Version,
} from '@reembed/protocol'
import type { Queue } from '@reembed/queue'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { countPresent, enqueueMissing, shardsPresent } from './enqueue.ts'
import { finalize } from './finalize.ts'
import { type PublishOutcome, publish } from './publish.ts'

export type SweepOutcome =
  /** With nothing missing, another process is finalizing it. */
  | { readonly run: string; readonly status: 'running'; readonly missing: number; readonly enqueued: number }
  | { readonly run: string; readonly status: 'finished'; readonly publish: PublishOutcome }
  /** A version of a newer run, or a rollback, is current: workers give up its missing shards. */
  | { readonly run: string; readonly status: 'overtaken'; readonly missing: number; readonly by: Version }
  /** Its state record: the sweeper does not advance it. */
  | { readonly run: string; readonly status: 'paused' | 'cancelled' | 'deleting' | 'deleted' }
  | { readonly run: string; readonly status: 'broken'; readonly error: unknown }

export interface Sweeper {
  /**
   * Checks every run that is newer than the current version, oldest first, and advances each by one
   * step.
   * @param awaitedRun a run that the caller waits for: when its shards exist, it is finalized even if
   * a newer version or a rollback supersedes it
   */
  sweep(signal?: AbortSignal, awaitedRun?: string): Promise<SweepOutcome[]>
}

/**
 * A sweeper of one output. It reports a run that does not balance once and then skips it; other
 * runs continue.
 */
export function createSweeper(store: Store, queue: Queue): Sweeper {
  const broken = new Map<string, unknown>()
  const lastMissing = new Map<string, number>()

  async function sweepRun(
    plan: Plan,
    current: Version | undefined,
    signal: AbortSignal | undefined,
  ): Promise<SweepOutcome> {
    const { run } = plan
    const record = await readRunStateRecord(store, run)
    if (record.state !== 'running') return { run, status: record.state }
    const manifest = await readManifest(store, run)
    if (manifest)
      return { run, status: 'finished', publish: await publish(store, manifest, { ...plan, signal }) }
    if (await queue.isFinalizing(run)) return { run, status: 'running', missing: 0, enqueued: 0 }
    const present = await shardsPresent(store, plan)
    const missing = plan.shards - countPresent(present)
    if (missing === 0) {
      const published = await queue.withFinalizeLease({ output: store.url, run, shard: 0 }, async () =>
        publish(store, await finalize(store, plan, { present, signal }), { ...plan, signal }),
      )
      if (published) return { run, status: 'finished', publish: published }
      return { run, status: 'running', missing, enqueued: 0 }
    }
    if (isOvertaken(plan, record, current)) return { run, status: 'overtaken', missing, by: current }
    // Adding again what the queue still holds is harmless but costs a round trip each: only when
    // jobs are lacking. The queue's counts are over all runs, and another run's jobs may hide that
    // this one has none: so also when nothing of it was finished since the last sweep.
    const { waiting, active, delayed } = await queue.counts()
    const lacking = waiting + active + delayed < missing || missing === lastMissing.get(run)
    lastMissing.set(run, missing)
    return {
      run,
      status: 'running',
      missing,
      enqueued: lacking ? await enqueueMissing(queue, store.url, plan, present) : 0,
    }
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
        if (broken.has(run)) continue
        try {
          const plan = await readPlan(store, run)
          if (plan === undefined) continue
          // A rollback gives an old run a new sequence number, which is not that of its plan.
          const isDue = seq === undefined ? plan.seq <= after : plan.seq === seq
          if (isDue) outcomes.push(await sweepRun(plan, current, signal))
        } catch (error) {
          // An aborted sweep says nothing about the run.
          signal?.throwIfAborted()
          if (isPermanent(error)) broken.set(run, error)
          outcomes.push({ run, status: 'broken', error })
        }
      }
      return outcomes
    },
  }
}

/** Faults of the run itself are permanent; faults of the connection to the store are transient. */
const isPermanent = (error: unknown): boolean =>
  error instanceof ReembedError &&
  ['UNBALANCED', 'CORRUPT', 'DUPLICATE_ID', 'MODEL_MISMATCH'].includes(error.code)
