// An injectable clock, so that tests and simulations do not wait.

import { setTimeout as sleep } from 'node:timers/promises'

export interface Clock {
  /** Monotonic time in milliseconds. */
  now(): number
  /** Rejects with the signal's reason if the signal aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** The monotonic clock of the machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, signal ? { signal } : {}),
}
