// Sums over parts of arrays, without copies, and pauses in long ones.

import { setImmediate } from 'node:timers/promises'

export function dotAt(a: Float32Array, atA: number, b: Float32Array, atB: number, length: number): number {
  let sum = 0
  for (let i = 0; i < length; i += 1) sum += (a[atA + i] ?? 0) * (b[atB + i] ?? 0)
  return sum
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? 0
}

const PIECE_MS = 50

/** Called between pieces of long work. */
export type Pause = () => Promise<void>

/**
 * Lets signals and timers run each 50 ms.
 * @throws the reason of `signal`
 */
export function createPause(signal?: AbortSignal): Pause {
  let sinceMs = performance.now()
  return async () => {
    if (performance.now() - sinceMs < PIECE_MS) return
    await setImmediate()
    signal?.throwIfAborted()
    sinceMs = performance.now()
  }
}
