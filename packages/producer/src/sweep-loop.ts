// The standing sweep of a worker process: it ends runs and heals them, so that no producer has to stay up for that.

import type { Queue } from '@reembed/queue'
import { messageOf } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { Logger, Registry } from '@reembed/telemetry'
import { createSweeper, type Sweeper, type SweepOutcome } from './sweep.ts'

export interface SweepingOptions {
  /** Which outputs to look at; asked before each sweep. */
  readonly outputs: () => Iterable<string>
  readonly open: (output: string) => Promise<Store>
  readonly queue: Queue
  readonly log: Logger
  /** Where sweeps are counted. */
  readonly metrics?: Registry | undefined
  /** Resolves when it is time for the next sweep; false: it is the last one. `soon`: another process is ending a run. */
  readonly pause: (soon: boolean) => Promise<boolean>
  /** Ends a sweep under way. */
  readonly signal: AbortSignal
}

/** `unreachable`: the store or the queue could not be looked at. */
const STATUSES: readonly string[] = [
  'running',
  'finished',
  'paused',
  'cancelled',
  'deleting',
  'broken',
  'unreachable',
] satisfies (SweepOutcome['status'] | 'unreachable')[]

/** Sweeps until it is told to stop. What fails is logged and tried again with the next sweep. */
export async function sweepOutputs({
  outputs,
  open,
  queue,
  log,
  metrics,
  pause,
  signal,
}: SweepingOptions): Promise<void> {
  const runs = metrics?.counter('reembed_swept_runs_total', 'Runs looked at by sweeps, by how they stood.', {
    status: STATUSES,
  })
  const queued = metrics?.counter('reembed_jobs_reenqueued_total', 'Jobs that sweeps put on the queue.', {})
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
  // Not every call of a sweep looks at the signal; this cuts them off.
  signal.addEventListener('abort', () => void close(), { once: true })
  let [more, soon] = [true, false]
  while (more && !signal.aborted) {
    more = await pause(soon).catch(() => false)
    soon = false
    for (const output of outputs()) {
      if (signal.aborted) break
      try {
        const sweeper = await sweeperOf(output)
        for (const outcome of await sweeper.sweep(signal)) {
          runs?.add(1, { status: outcome.status })
          if (outcome.status === 'running') queued?.add(outcome.enqueued, {})
          soon ||= outcome.status === 'running' && outcome.missing === 0
          report(outcome, log)
        }
      } catch (error) {
        runs?.add(1, { status: 'unreachable' })
        if (!signal.aborted) log.warn({ output }, `sweep failed: ${messageOf(error)}`)
      }
    }
  }
  await close()
}

function report(outcome: SweepOutcome, log: Logger): void {
  const { run, status } = outcome
  if (status === 'broken') log.error({ run }, `run cannot be finished: ${messageOf(outcome.error)}`)
  else if (status === 'finished')
    log.info(
      {
        run,
        publish: outcome.publish.status,
        ...(outcome.publish.status === 'held' && { reason: outcome.publish.reason }),
      },
      'run finished',
    )
  else if (status === 'running' && outcome.enqueued > 0)
    log.info({ run, missing: outcome.missing }, 'missing shards queued again')
}
