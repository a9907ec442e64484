// Limits retries: one per five answered requests, and ten per second for the whole fleet. So an
// endpoint that fails every request gets a low rate for any number of workers and jobs. A retry
// waits for budget; it is never dropped for lack of it.

import type { Clock } from '@reembed/shared'

export interface RetryBudget {
  answered(): void
  /** Resolves when a request may be retried. First in, first out. */
  spend(signal?: AbortSignal): Promise<void>
}

const PER_ANSWER = 0.2
const PER_SECOND = 10
/** Maximum of unused budget, so that a short fault after a long healthy time is retried at once. */
const MOST = 100

/** @param workers number of workers that share the endpoint */
export function createRetryBudget(clock: Clock, workers: () => number): RetryBudget {
  const waiting: (() => void)[] = []
  let saved = PER_SECOND
  let at = clock.now()
  let sleeping = false

  function pump(): void {
    const each = PER_SECOND / Math.max(1, workers())
    saved = Math.min(MOST, saved + ((clock.now() - at) / 1000) * each)
    at = clock.now()
    for (; saved >= 1 && waiting.length > 0; saved--) waiting.shift()?.()
    if (waiting.length > 0 && !sleeping) void sleepFor(((1 - saved) * 1000) / each)
  }

  async function sleepFor(ms: number): Promise<void> {
    sleeping = true
    await clock.sleep(ms)
    sleeping = false
    pump()
  }

  return {
    answered() {
      saved = Math.min(MOST, saved + PER_ANSWER)
      if (waiting.length > 0) pump()
    },
    async spend(signal) {
      signal?.throwIfAborted()
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const leave = (): void => {
        const place = waiting.indexOf(resolve)
        if (place >= 0) waiting.splice(place, 1)
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', leave, { once: true })
      waiting.push(resolve)
      pump()
      await promise.finally(() => signal?.removeEventListener('abort', leave))
    },
  }
}
