// Repeats a call to a vector store while the failure may pass: the server is overloaded, restarts,
// or the connection broke.

import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf, ReembedError } from '@reembed/shared'

const TRIES = 12
const FIRST_WAIT_MS = 200
const LONGEST_WAIT_MS = 15_000

export interface RetryOptions {
  readonly signal?: AbortSignal | undefined
  /** Called before each wait with what the vector store answered. */
  readonly onWait?: ((reason: string) => void) | undefined
}

/**
 * Calls `attempt` until it succeeds, at most 12 times: about 90 s for a server that does not
 * answer.
 * @throws the last failure, or one that does not pass by itself
 */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  { signal, onWait }: RetryOptions = {},
): Promise<T> {
  for (let failed = 1; ; failed += 1) {
    try {
      return await attempt()
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof ReembedError) || error.retry !== 'requeue') throw error
      // Not `requeue` any more, so that a call around this one does not repeat all of it.
      if (failed === TRIES) throw new ReembedError(error.code, error.message, { cause: error })
      onWait?.(messageOf(error))
      const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (failed - 1))
      const waitMs = Math.max(error.retryAfterMs ?? 0, (0.5 + Math.random() / 2) * longest)
      // The timer's abort error would replace the signal's reason.
      await sleep(waitMs, undefined, { signal }).catch(() => signal?.throwIfAborted())
    }
  }
}
