// The disposition of a job whose handler threw. It is a pure function, which the queue on Redis and
// the simulated queue share.

import { ReembedError } from '@reembed/shared'

/** What happens to a job next. */
export type Disposition =
  /** The worker shuts down: requeue at once, without spending an attempt. */
  | { readonly do: 'requeue' }
  /**
   * Overload, cold start, outage or another model: requeue after a delay, without spending an
   * attempt.
   */
  | { readonly do: 'delay'; readonly delayMs: number }
  /** Retry while attempts are left. */
  | { readonly do: 'retry' }
  /** Another attempt cannot succeed: fail with the reason. */
  | { readonly do: 'fail' }

const DELAY_MS = 2_000

/** Returns the disposition for an error; `draining` means that the worker shuts down. */
export function dispositionOf(
  error: unknown,
  { draining, random = Math.random }: { readonly draining: boolean; readonly random?: () => number },
): Disposition {
  if (draining) return { do: 'requeue' }
  if (!(error instanceof ReembedError)) return { do: 'retry' }
  if (error.retry === 'never') return { do: 'fail' }
  if (error.retry === 'retry') return { do: 'retry' }
  // Full jitter above a minimum, so that the delayed jobs of a fleet do not return at the same
  // time.
  return { do: 'delay', delayMs: Math.round((error.retryAfterMs ?? DELAY_MS) * (1 + random())) }
}
