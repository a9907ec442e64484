// Repeats a call to a vector store while the failure may pass: the server is overloaded, restarts,
// or the connection broke.

import { setTimeout as sleep } from 'node:timers/promises'
import { deadlines } from './deadlines.ts'
import { messageOf, ReembedError } from './errors.ts'

const FIRST_WAIT_MS = 200
const LONGEST_WAIT_MS = 15_000

export interface RetryOptions {
  readonly signal?: AbortSignal | undefined
  /** Called before each wait with what the vector store answered. */
  readonly onWait?: ((reason: string) => void) | undefined
}

/**
 * Calls `attempt` until it succeeds. No attempt begins later than 90 s after the first, or what the
 * deadlines of the scope make of them.
 * @throws the last failure, or one that does not pass by itself
 */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  { signal, onWait }: RetryOptions = {},
): Promise<T> {
  const endMs = performance.now() + deadlines().sink.callMs
  for (let failed = 1; ; failed += 1) {
    try {
      return await attempt()
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof ReembedError) || error.retry !== 'requeue') throw error
      const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (failed - 1))
      const waitMs = Math.max(error.retryAfterMs ?? 0, (0.5 + Math.random() / 2) * longest)
      // Not `requeue` any more, so that a call around this one does not repeat all of it.
      if (performance.now() + waitMs >= endMs)
        throw new ReembedError(error.code, error.message, { cause: error })
      onWait?.(messageOf(error))
      // The timer's abort error would replace the signal's reason.
      await sleep(waitMs, undefined, { signal }).catch(() => signal?.throwIfAborted())
    }
  }
}
