// The disposition of a job whose handler threw. It is a pure function, which the queue on Redis and
// the simulated queue share.
//
// Only a fault of the job or of its run may spend an attempt or fail the job, and a broken worker
// can mistake its own fault for one: a folder that is not mounted looks like a changed corpus. So a
// fault counts only after it was observed before. It fails the job if this worker is the only one or
// has finished other jobs; if only a second worker without such a proof observed it, it spends an
// attempt.

import { faultOf, ReembedError } from '@reembed/shared'

/** What happens to a job next. */
export type Disposition =
  /** The worker shuts down: requeue at once, without spending an attempt. */
  | { readonly do: 'requeue' }
  /**
   * A fault of the worker or of a dependency, or an unconfirmed fault of the job: requeue after a
   * delay, without spending an attempt. `observed`: record that this worker observed the fault.
   */
  | { readonly do: 'delay'; readonly delayMs: number; readonly observed?: true }
  /** Retry while attempts are left. */
  | { readonly do: 'retry' }
  /** Another attempt cannot succeed: fail with the reason. */
  | { readonly do: 'fail' }

/** What is known about the worker that reports a fault of a job. */
export interface Observer {
  readonly worker: string
  /** It has finished jobs, and did not fail several in a row since. */
  readonly isProven: boolean
  /** No other worker has sent a heartbeat. */
  readonly isAlone: boolean
  /** The workers that observed a fault of this job before. */
  readonly before: readonly string[]
}

export interface DispositionOptions {
  /** The worker shuts down. */
  readonly draining: boolean
  /** Without it, a fault of the job counts at once. */
  readonly observer?: Observer | undefined
  readonly random?: () => number
}

const DEPENDENCY_MS = 2_000
/** A worker with a wrong setting must not take the same job again before a healthy worker does. */
const WORKER_MS = 5_000
const UNCONFIRMED_MS = 1_000

/** Returns the disposition for an error of a handler. */
export function dispositionOf(
  error: unknown,
  { draining, observer, random = Math.random }: DispositionOptions,
): Disposition {
  if (draining) return { do: 'requeue' }
  const known = error instanceof ReembedError ? error : undefined
  // Full jitter above a minimum, so that the delayed jobs of a fleet do not return at the same
  // time.
  const delay = (ms: number): Disposition & { do: 'delay' } => ({
    do: 'delay',
    delayMs: Math.round((known?.retryAfterMs ?? ms) * (1 + random())),
  })
  const fault = faultOf(error)
  if (fault === 'worker') return delay(WORKER_MS)
  if (fault === 'dependency' || known?.retry === 'requeue') return delay(DEPENDENCY_MS)
  const final = known?.retry === 'never' ? 'fail' : 'retry'
  if (observer === undefined) return { do: final }
  const { worker, before } = observer
  if (before.length > 0 && (observer.isProven || observer.isAlone)) return { do: final }
  if (before.some(name => name !== worker)) return { do: 'retry' }
  return { ...delay(UNCONFIRMED_MS), observed: true }
}
