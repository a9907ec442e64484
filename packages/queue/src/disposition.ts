// The disposition of a job whose handler threw. It is a pure function, which the queue on Redis and
// the simulated queue share.
//
// Only a fault of the job or of its run may spend an attempt or fail the job, and a broken worker
// can mistake its own fault for one: a folder that is not mounted looks like a changed corpus. So a
// fault counts only if it was observed before, and if this worker has finished other jobs or is the
// only one. Otherwise the job is delayed for a worker that can be trusted. Where none comes, many
// observations count too, so that each run ends, but only if most live workers of the output have
// made one: a broken worker must not outvote a healthy worker that is busy with other runs.

import { faultOf, ReembedError } from '@reembed/shared'

/** What happens to a job next. */
export type Disposition =
  /** The worker shuts down: requeue at once, without spending an attempt. */
  | { readonly do: 'requeue' }
  /**
   * A fault of the worker or of a dependency, or an observation of a fault of the job that does not
   * count yet: requeue after a delay, without spending an attempt. `observations` includes it.
   */
  | { readonly do: 'delay'; readonly delayMs: number; readonly observations?: Observations }
  /** Retry while attempts are left. */
  | { readonly do: 'retry' }
  /** Another attempt cannot succeed: fail with the reason. */
  | { readonly do: 'fail' }

/** The faults of a job that workers have observed. */
export interface Observations {
  readonly count: number
  /** The workers that observed them, at most MAX_OBSERVERS. */
  readonly by: readonly string[]
}

/** What is known when a worker observes a fault of a job. */
export interface Observer {
  readonly worker: string
  /** The worker has finished jobs, and did not fail several in a row since. */
  readonly isProven: boolean
  /** The other live workers that take jobs of this output; undefined if they are not known. */
  readonly others: readonly string[] | undefined
  /** Earlier observations of a fault of this job, by any worker. */
  readonly earlier: Observations
}

export interface DispositionOptions {
  /** The worker shuts down. */
  readonly draining: boolean
  /** Without it, a fault of the job counts at once. */
  readonly observer?: Observer | undefined
  readonly random?: () => number
}

const DEPENDENCY_MS = 2_000
/**
 * A worker with a wrong setting must not take the same job again before a healthy worker does. A
 * proven worker is right for other runs, so its error states how long this run may have to wait.
 */
const WORKER_MS = 5_000
/** Delay after the first observation, doubled after each further one. */
const OBSERVED_MS = { least: 1_000, most: 60_000 } as const
/** About ten minutes. */
const MAX_OBSERVATIONS = 16
/** So many different workers are not all broken beside a healthy one. Bounds the job's progress. */
const MAX_OBSERVERS = 16

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
    delayMs: Math.round(ms * (1 + random())),
  })
  const fault = faultOf(error)
  if (fault === 'worker') return delay(observer?.isProven ? (known?.retryAfterMs ?? WORKER_MS) : WORKER_MS)
  if (fault === 'dependency' || known?.retry === 'requeue') return delay(known?.retryAfterMs ?? DEPENDENCY_MS)
  const final = known?.retry === 'never' ? 'fail' : 'retry'
  if (observer === undefined) return { do: final }
  if (isTrusted(observer)) return { do: final }
  const { count, by } = observer.earlier
  const delayMs = Math.min(OBSERVED_MS.least * 2 ** count, OBSERVED_MS.most)
  const observers = [...new Set([...by, observer.worker])].slice(0, MAX_OBSERVERS)
  return { ...delay(delayMs), observations: { count: count + 1, by: observers } }
}

/** Whether a fault of the job that this worker observes counts. */
function isTrusted({ isProven, others, earlier: { count, by } }: Observer): boolean {
  if (count > 0 && (isProven || others?.length === 0)) return true
  if (count < MAX_OBSERVATIONS || others === undefined) return false
  const agreeing = 1 + others.filter(other => by.includes(other)).length
  return by.length >= MAX_OBSERVERS || agreeing > (1 + others.length) / 2
}
