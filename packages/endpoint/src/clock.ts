// Time as a dependency, so that tests and simulations do not wait.

import { setTimeout as sleep } from 'node:timers/promises'

export interface Clock {
  /** Monotonic time in milliseconds. */
  now(): number
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, signal ? { signal } : {}),
}
