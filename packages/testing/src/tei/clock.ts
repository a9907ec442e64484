// Clocks for tests. A fake's time is an argument, so a cold start of 42 s need not take 42 s.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '@reembed/local'

export interface ManualClock extends Clock {
  /** How many are asleep. */
  readonly pendingSleeps: number
  /** Lets `ms` pass: sleepers wake in the order of their time, each before later ones. */
  advance(ms: number): Promise<void>
  /**
   * Lets time pass, from one sleeper to the next, until `promise` settles. Between two sleepers the event loop turns
   * often enough for HTTP within this process to go there and back; other processes are not waited for.
   */
  advanceUntilSettled<T>(promise: Promise<T>): Promise<T>
}

interface Sleeper {
  readonly at: number
  readonly wake: () => void
}

/** Enough for a request, a reply and what follows, over loopback with a proxy between. */
const EVENT_LOOP_TURNS = 25

/** A clock that stands still until it is told otherwise. */
export function createManualClock(startMs = 0): ManualClock {
  let now = startMs
  const sleepers: Sleeper[] = []

  /** Wakes the first sleeper whose time comes until `end`. */
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
        // After those who wake at the same time: first come, first served.
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

/** The machine's clock, `times` as fast: for tests over several processes, where time must pass by itself. */
export function createFastClock(factor: number): Clock {
  const started = performance.now()
  return {
    now: () => started + (performance.now() - started) * factor,
    sleep: (ms, signal) => sleep(ms / factor, undefined, signal ? { signal } : {}),
  }
}
