// The periodic sweep of a worker or producer process: it finalizes runs and re-enqueues their
// missing shards, so that the process that planned a run need not stay up.

import type { Queue } from '@reembed/queue'
import { messageOf } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { Logger, Registry } from '@reembed/telemetry'
import { createRunLog } from './run-log.ts'
import { createSweeper, type Sweeper, type SweepOutcome } from './sweep.ts'

export interface SweepLoopOptions {
  /** URLs of the outputs to sweep; read before each sweep. */
  readonly outputs: () => Iterable<string>
  readonly open: (output: string) => Promise<Store>
  readonly queue: Queue
  readonly log: Logger
  /** Registry of the sweep metrics. */
  readonly metrics?: Registry | undefined
  /**
   * Resolves when the next sweep is due; with false, that sweep is the last one. `soon`: another
   * process is finalizing a run.
   */
  readonly pause: (soon: boolean) => Promise<boolean>
  /** Aborts the current sweep. */
  readonly signal: AbortSignal
}

/** `unreachable`: the store or the queue did not answer. */
const STATUSES: readonly string[] = [
  'running',
  'finished',
  'superseded',
  'paused',
  'cancelled',
  'deleting',
  'deleted',
  'failed',
  'broken',
  'unreachable',
] satisfies (SweepOutcome['status'] | 'unreachable')[]

/**
 * Sweeps until `pause` resolves with false or the signal fires. A failed sweep is logged; the next
 * one repeats it.
 */
export async function sweepOutputs({
  outputs,
  open,
  queue,
  log,
  metrics,
  pause,
  signal,
}: SweepLoopOptions): Promise<void> {
  const runs = metrics?.counter('reembed_swept_runs_total', 'Runs that sweeps checked, by status.', {
    status: STATUSES,
  })
  const queued = metrics?.counter(
    'reembed_jobs_reenqueued_total',
    'Jobs that sweeps put on the queue again.',
    {},
  )
  const runLog = createRunLog(log)
  const sweepers = new Map<string, { store: Store; sweeper: Sweeper }>()
  const sweeperOf = async (output: string): Promise<Sweeper> => {
    const opened = sweepers.get(output)
    if (opened) return opened.sweeper
    const store = await open(output)
    const sweeper = createSweeper(store, queue)
    sweepers.set(output, { store, sweeper })
    return sweeper
  }
  const close = async (): Promise<void> => {
    for (const { store } of sweepers.values()) await store[Symbol.asyncDispose]()
  }
  // Not every call of a sweep takes the signal; closing the stores aborts the others.
  signal.addEventListener('abort', () => void close(), { once: true })
  let [more, soon] = [true, false]
  while (more && !signal.aborted) {
    more = await pause(soon).catch(() => false)
    soon = false
    for (const output of outputs()) {
      if (signal.aborted) break
      try {
        const sweeper = await sweeperOf(output)
        const outcomes = await sweeper.sweep(signal)
        runLog.report(output, outcomes)
        for (const outcome of outcomes) {
          runs?.add(1, { status: outcome.status })
          if (outcome.status === 'running') queued?.add(outcome.enqueued, {})
          soon ||= outcome.status === 'running' && outcome.missing === 0
        }
      } catch (error) {
        runs?.add(1, { status: 'unreachable' })
        if (!signal.aborted) log.warn({ output }, `sweep failed: ${messageOf(error)}`)
      }
    }
  }
  await close()
}
