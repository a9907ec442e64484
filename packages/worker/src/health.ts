// Whether a worker can be trusted: it suspends itself after several faults of its own in a row, and
// its reports about a job count only while it is proven. It only keeps facts; worker.ts acts on
// them.

import { isColdStart } from '@reembed/endpoint'
import { faultOf, messageOf, ReembedError } from '@reembed/shared'

export interface WorkerHealth {
  /** It has finished a job, and did not fail several in a row since. */
  readonly isProven: boolean
  /** Its own fault since it last worked; undefined if there is none. */
  readonly fault: { readonly error: ReembedError; readonly sinceMs: number } | undefined
  /** Several faults of its own in a row: it must take no jobs. */
  readonly isSuspended: boolean
  /** Records a job whose shard was made. */
  finished(): void
  /** Records that the endpoint has answered with vectors of the right model. */
  answered(): void
  /**
   * Records a job that the state of its run has ended: the cause of a fault may end with the run.
   */
  stopped(): void
  failed(error: unknown): void
}

/** One failure may be caused by a change that other workers see too; several in a row are not. */
const MAX_IN_A_ROW = 3

/** @param now a monotonic clock in milliseconds */
export function createWorkerHealth(now: () => number = () => performance.now()): WorkerHealth {
  let hasWorked = false
  let hasFinished = false
  let failuresInARow = 0
  let faultsInARow = 0
  let fault: { error: ReembedError; sinceMs: number } | undefined

  function isOwn(error: unknown): error is ReembedError {
    if (!(error instanceof ReembedError)) return false
    const kind = faultOf(error)
    if (kind !== 'dependency') return kind === 'worker'
    // An address that has never answered is more likely wrong than down.
    return !hasWorked && error.code !== 'ENDPOINT_OVERLOADED' && !isColdStart(error)
  }

  function end(): void {
    faultsInARow = 0
    fault = undefined
  }

  return {
    get isProven() {
      return hasFinished && failuresInARow < MAX_IN_A_ROW
    },
    get fault() {
      return fault
    },
    get isSuspended() {
      return faultsInARow >= MAX_IN_A_ROW
    },
    finished() {
      hasWorked = true
      hasFinished = true
      failuresInARow = 0
      end()
    },
    answered() {
      hasWorked = true
      // A fault of a store is not over: its right to put is used at the end of the job.
      if (fault && /^(ENDPOINT|MODEL)_/.test(fault.error.code)) end()
    },
    stopped: end,
    failed(error) {
      if (error instanceof ReembedError && error.retry === 'requeue' && !isOwn(error)) return
      failuresInARow += 1
      if (!isOwn(error)) return
      // While an endpoint is unavailable the limiter lets no second job try: one failure is enough.
      faultsInARow += faultOf(error) === 'dependency' ? MAX_IN_A_ROW : 1
      fault = { error, sinceMs: fault?.sinceMs ?? now() }
    },
  }
}

/** The reason for a probe of readiness and for the list of workers. */
export const unreadyReason = ({ fault, isSuspended }: WorkerHealth): string | null =>
  fault ? `${isSuspended ? 'takes no jobs' : 'failing'}: ${messageOf(fault.error)}` : null
