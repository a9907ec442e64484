// A clock whose hours pass in milliseconds: sleeping tasks are woken in the order of time, as soon
// as nothing else is left to do.

import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '@reembed/shared'

export interface SimulatedClock extends Clock {
  /** Lets time pass until `ms`. */
  runUntil(ms: number): Promise<void>
}

/** A clock that starts at 0. Only `runUntil` lets its time pass. */
export function createSimulatedClock(): SimulatedClock {
  let now = 0
  let count = 0
  /** A heap by time, then by order of arrival. */
  const heap: { at: number; order: number; wake: () => void }[] = []

  const before = (i: number, j: number): boolean => {
    const [a, b] = [heap[i], heap[j]]
    return a !== undefined && b !== undefined && (a.at < b.at || (a.at === b.at && a.order < b.order))
  }
  const swap = (i: number, j: number): void => {
    const [a, b] = [heap[i], heap[j]]
    if (a && b) [heap[i], heap[j]] = [b, a]
  }
  function push(at: number, wake: () => void): void {
    let i = heap.push({ at, order: count++, wake }) - 1
    for (let up = (i - 1) >> 1; i > 0 && before(i, up); i = up, up = (i - 1) >> 1) swap(i, up)
  }
  function pop(): void {
    swap(0, heap.length - 1)
    heap.pop()
    for (let i = 0; ; ) {
      let least = i
      for (const child of [2 * i + 1, 2 * i + 2]) if (before(child, least)) least = child
      if (least === i) return
      swap(i, least)
      i = least
    }
  }

  return {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason)
        const abort = (): void => reject(signal?.reason)
        signal?.addEventListener('abort', abort, { once: true })
        push(now + Math.max(0, ms), () => {
          signal?.removeEventListener('abort', abort)
          resolve()
        })
      }),
    async runUntil(ms) {
      await turn()
      for (let first = heap[0]; first && first.at <= ms; first = heap[0]) {
        now = first.at
        while (first && first.at <= now) {
          pop()
          first.wake()
          first = heap[0]
        }
        await turn()
      }
      now = ms
    },
  }
}

/** mulberry32 */
export function seeded(seed: number): () => number {
  let a = seed
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
