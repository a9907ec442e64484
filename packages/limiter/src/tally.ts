// Sums of replies since the last report, and the recent reply time.

import type { WindowSums } from '@reembed/queue'

/** Times of an answered request; null where the server states none. */
export interface Sample {
  readonly queueMs: number | null
  readonly inferenceMs: number | null
  readonly totalMs: number
}

export interface Tally {
  /**
   * Recent time of a reply at the server, or in total where the server states none; 0 before the
   * first.
   */
  readonly serverMs: number
  answered(inputs: number, sample: Sample): void
  /** A probe was answered. */
  probeAnswered(): void
  refused(): void
  unavailable(): void
  /** Returns the sums and resets them. */
  take(): WindowSums
}

export function createTally(): Tally {
  let sums = noSums()
  let fastest = Number.POSITIVE_INFINITY
  let serverMs = 0
  return {
    get serverMs() {
      return serverMs
    },
    answered(inputs, { queueMs, inferenceMs, totalMs }) {
      // Without server times, the excess over the fastest request is taken for queueing. The
      // minimum decays slowly, since texts and servers change.
      fastest = Math.min(fastest * 1.001, totalMs)
      const ms = queueMs === null || inferenceMs === null ? totalMs : queueMs + inferenceMs
      serverMs = serverMs === 0 ? ms : 0.9 * serverMs + 0.1 * ms
      sums.replies++
      sums.inputs += inputs
      sums.queueMs += queueMs ?? totalMs - fastest
      sums.inferenceMs += inferenceMs ?? fastest
    },
    probeAnswered: () => void sums.replies++,
    refused: () => void sums.refusals++,
    unavailable: () => void sums.unavailable++,
    take() {
      const taken = sums
      sums = noSums()
      return taken
    },
  }
}

const noSums = (): { -readonly [Key in keyof WindowSums]: WindowSums[Key] } => ({
  replies: 0,
  inputs: 0,
  refusals: 0,
  unavailable: 0,
  queueMs: 0,
  inferenceMs: 0,
})
