// Time as an argument, so that tests and simulations do not wait.

import { setTimeout as sleep } from 'node:timers/promises'

/** A monotonic clock. */
export interface Clock {
  /** Milliseconds since an arbitrary start. */
  now(): number
  /** Resolves after `ms` milliseconds. Rejects if `signal` aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** The clock of this process. */
export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, signal ? { signal } : {}),
}
