// Another try after a random wait that grows: many workers that failed together do not come back together.

import { setTimeout as sleep } from 'node:timers/promises'

import { ReembedError } from '@reembed/shared'

export interface BackoffOptions {
  /** Tries in all. */
  readonly tries: number
  readonly signal?: AbortSignal | undefined
}

const FIRST_WAIT_MS = 200
const LONGEST_WAIT_MS = 10_000

export interface Backoff {
  /** Returns when it is time to try again; throws `error` where that can't help, or has not helped `tries` times. */
  wait(error: unknown): Promise<void>
  /** Counts from the start again, since there was progress. */
  reset(): void
}

export function createBackoff({ tries, signal }: BackoffOptions): Backoff {
  let failed = 0
  return {
    async wait(error) {
      signal?.throwIfAborted()
      failed++
      if (!(error instanceof ReembedError) || error.retry !== 'requeue' || failed >= tries) throw error
      const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (failed - 1))
      // The timer's own abort error would hide the reason.
      await sleep(Math.random() * longest, undefined, { signal }).catch(() => signal?.throwIfAborted())
    },
    reset() {
      failed = 0
    },
  }
}
