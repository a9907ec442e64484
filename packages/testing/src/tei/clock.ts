// Clocks for tests. The fakes take their clock as an option, so a test of a cold start of 42 s does
// not take 42 s.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '@reembed/shared'

export interface ManualClock extends Clock {
  /** Number of `sleep` calls that have not settled. */
  readonly pendingSleeps: number
  /**
   * Advances the time by `ms` milliseconds and settles the sleeps that end in it, in order of time.
   */
  advance(ms: number): Promise<void>
  /**
   * Advances the time from one sleep to the next until `promise` settles. Between two sleeps it
   * runs enough turns of the event loop for an HTTP exchange within this process. It does not wait
   * for other processes.
   */
  advanceUntilSettled<T>(promise: Promise<T>): Promise<T>
}

interface Sleeper {
  readonly at: number
  readonly wake: () => void
}

/** Enough turns for a request and its reply over loopback through a proxy. */
const EVENT_LOOP_TURNS = 25

/**
 * Creates a clock that advances only when the test advances it.
 * @param startMs the initial time in milliseconds
 * @example
 * ```ts
 * import { createManualClock, startFakeTei } from '@reembed/testing'
 *
 * const clock = createManualClock()
 * await using tei = await startFakeTei({ clock, warmUpMs: 42_000 })
 * await clock.advance(42_000)
 * console.log(tei.state) // up
 * ```
 */
export function createManualClock(startMs = 0): ManualClock {
  let now = startMs
  const sleepers: Sleeper[] = []

  /** Wakes the first sleeper that is due by `end`. */
  async function wakeNext(end: number): Promise<boolean> {
    const next = sleepers[0]
    if (next === undefined || next.at > end) return false
    now = Math.max(now, next.at)
    next.wake()
    await turns()
    return true
  }

  return {
    now: () => now,
    sleep(ms, signal) {
      return new Promise((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason)
          return
        }
        const leave = (): void => {
          sleepers.splice(sleepers.indexOf(sleeper), 1)
          signal?.removeEventListener('abort', aborted)
        }
        const aborted = (): void => {
          leave()
          reject(signal?.reason)
        }
        const wake = (): void => {
          leave()
          resolve()
        }
        const sleeper: Sleeper = { at: now + ms, wake }
        // Sleepers that are due at the same time wake in the order of their calls.
        const place = sleepers.findIndex(({ at }) => at > sleeper.at)
        sleepers.splice(place < 0 ? sleepers.length : place, 0, sleeper)
        signal?.addEventListener('abort', aborted, { once: true })
      })
    },
    get pendingSleeps() {
      return sleepers.length
    },
    async advance(ms) {
      const end = now + ms
      await turns()
      while (await wakeNext(end));
      now = end
    },
    async advanceUntilSettled(promise) {
      let settled = false
      const settle = (): void => {
        settled = true
      }
      promise.then(settle, settle)
      await turns()
      while (!settled) if (!(await wakeNext(Number.POSITIVE_INFINITY))) await turns()
      return promise
    },
  }
}

async function turns(): Promise<void> {
  for (let i = 0; i < EVENT_LOOP_TURNS; i++) await new Promise(setImmediate)
}

/**
 * Creates a clock that runs `factor` times as fast as the system clock, for tests with several
 * processes, which share no manual clock.
 */
export function createFastClock(factor: number): Clock {
  const started = performance.now()
  return {
    now: () => started + (performance.now() - started) * factor,
    sleep: (ms, signal) => sleep(ms / factor, undefined, signal ? { signal } : {}),
  }
}
