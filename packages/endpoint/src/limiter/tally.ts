// What replies showed since the last report, and how long they take of late.

import type { WindowSums } from '@reembed/queue'

/** What an answered request tells about load. Null where the server does not say. */
export interface Sample {
  readonly queueMs: number | null
  readonly inferenceMs: number | null
  readonly totalMs: number
}

export interface Tally {
  /** What a reply takes at the server, or in all where that does not say; 0 until one is known. */
  readonly serverMs: number
  answered(inputs: number, sample: Sample): void
  /** A probe was answered. */
  probeAnswered(): void
  refused(): void
  unavailable(): void
  /** What was counted; counting starts anew. */
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
      // Without the server's own times, what a request takes beyond the fastest one is taken as
      // waiting. The fastest is slowly forgotten, since texts and servers change.
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
