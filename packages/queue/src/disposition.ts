// What becomes of a job whose work has thrown. Pure: the queue on Redis and the simulated one obey the same words.

import { ReembedError } from '@reembed/shared'

export type Disposition =
  /** The worker must go: back to the queue at once, no attempt spent. */
  | { readonly do: 'requeue' }
  /** Overload, a cold start, an outage, another model: later, no attempt spent. */
  | { readonly do: 'delay'; readonly delayMs: number }
  /** Tried again while attempts are left. */
  | { readonly do: 'retry' }
  /** Trying again cannot help: set aside with its reason. */
  | { readonly do: 'fail' }

const POSTPONE_MS = 2_000

export function dispositionOf(
  error: unknown,
  { draining, random = Math.random }: { readonly draining: boolean; readonly random?: () => number },
): Disposition {
  if (draining) return { do: 'requeue' }
  if (!(error instanceof ReembedError)) return { do: 'retry' }
  if (error.retry === 'never') return { do: 'fail' }
  if (error.retry === 'retry') return { do: 'retry' }
  // Full jitter above a floor, so that a fleet's delayed jobs do not come back together.
  return { do: 'delay', delayMs: Math.round((error.retryAfterMs ?? POSTPONE_MS) * (1 + random())) }
}
