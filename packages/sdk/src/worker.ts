// A worker in the program's own process, with the sweeps that finish and publish its runs.

import { setTimeout as wait } from 'node:timers/promises'
import { sweepOutputs } from '@reembed/producer'
import type { Queue } from '@reembed/queue'
import type { Store } from '@reembed/store'
import type { Logger } from '@reembed/telemetry'
import type { Worker } from '@reembed/worker'
import type { RunningWorker } from './options.ts'

const SWEEP_MS = 30_000
/**
 * Interval of sweeps while another process finalizes a run. Short, because that process may die
 * before it has finished.
 */
const FINALIZING_SWEEP_MS = 6_000
/** Several workers become idle at the same moment; one sweep of one of them is enough. */
const IDLE_SWEEP_MS = 500

/** Resolves waits early when the worker runs out of jobs. */
export interface IdleSignal {
  notify(): void
  /** Resolves with the next `notify`. */
  next(): Promise<void>
}

export function createIdleSignal(): IdleSignal {
  let idle = Promise.withResolvers<void>()
  return {
    notify() {
      idle.resolve()
      idle = Promise.withResolvers()
    },
    next: () => idle.promise,
  }
}

export interface SweepingWorkerOptions {
  readonly worker: Worker
  readonly queue: Queue
  readonly idle: IdleSignal
  readonly outputs: readonly string[]
  readonly open: (output: string) => Promise<Store>
  readonly log: Logger
}

/** Adds background sweeps to a worker; they end with it. */
export function withSweeps(options: SweepingWorkerOptions): RunningWorker {
  const { worker, idle, outputs } = options
  const stop = new AbortController()
  const { signal } = stop
  const sweeps = sweepOutputs({
    outputs: () => new Set([...outputs, ...worker.seenOutputs]),
    open: options.open,
    queue: options.queue,
    log: options.log,
    signal,
    async pause(soon) {
      const due = wait((soon ? FINALIZING_SWEEP_MS : SWEEP_MS) * (0.5 + Math.random()), undefined, { signal })
      const idled = idle
        .next()
        .then(() => wait(IDLE_SWEEP_MS * (1 + 3 * Math.random()), undefined, { signal }))
      await Promise.race([due, idled]).catch(() => {})
      due.catch(() => {})
      idled.catch(() => {})
      return !signal.aborted
    },
  })
  const end = async (drained: PromiseLike<void>): Promise<void> => {
    await drained
    stop.abort()
    await sweeps.catch(() => {})
  }
  return {
    get notReadyReason() {
      return worker.notReadyReason
    },
    get endpointState() {
      return worker.endpointState
    },
    drain: graceMs => end(worker.drain(graceMs)),
    [Symbol.asyncDispose]: () => end(worker[Symbol.asyncDispose]()),
  }
}
