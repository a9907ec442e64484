// Time as an argument, so that tests and simulations need not wait.

import { setTimeout as sleep } from 'node:timers/promises'

export interface Clock {
  /** Milliseconds; never goes back. */
  now(): number
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, signal ? { signal } : {}),
}
