// Exponential backoff with full jitter: workers whose calls failed at the same time do not retry at
// the same time.

import { setTimeout as sleep } from 'node:timers/promises'

import { ReembedError } from '@reembed/shared'

export interface BackoffOptions {
  /** Total number of attempts. */
  readonly tries: number
  /** No attempt begins this long after the first one, or after the last progress. */
  readonly withinMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

const FIRST_WAIT_MS = 200
const LONGEST_WAIT_MS = 10_000

export interface Backoff {
  /** Waits before the next attempt. Throws `error` if it is not transient or no attempt is left. */
  wait(error: unknown): Promise<void>
  /** Resets the attempt count after progress. */
  reset(): void
}

export function createBackoff({
  tries,
  withinMs = Number.POSITIVE_INFINITY,
  signal,
}: BackoffOptions): Backoff {
  let failed = 0
  let begunMs = performance.now()
  return {
    async wait(error) {
      signal?.throwIfAborted()
      failed++
      if (!(error instanceof ReembedError) || error.retry !== 'requeue' || failed >= tries) throw error
      const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (failed - 1))
      const waitMs = Math.random() * longest
      if (performance.now() + waitMs >= begunMs + withinMs) throw error
      // The timer's abort error would replace the signal's reason.
      await sleep(waitMs, undefined, { signal }).catch(() => signal?.throwIfAborted())
    },
    reset() {
      failed = 0
      begunMs = performance.now()
    },
  }
}
