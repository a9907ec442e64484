// Tracks why an endpoint is unavailable, and probes it while this worker is the prober of the
// fleet.

import type { Clock } from '@reembed/shared'

/**
 * Resolves with null when the endpoint answers; else with the reason and the minimum delay until
 * the next probe.
 */
export type EndpointProbe = (
  signal: AbortSignal,
) => Promise<{ readonly reason: string; readonly afterMs?: number | undefined } | null>

export interface ProbeLoopOptions {
  readonly probe: EndpointProbe | undefined
  /** Whether the endpoint is still unavailable and this worker is the prober. */
  readonly isWanted: () => boolean
  /** Called with the result of each probe, for the next report to the coordinator. */
  readonly onUnavailable: () => void
  readonly onAnswered: () => void
  readonly clock: Clock
  readonly random: () => number
  /** Ends the loop. */
  readonly signal: AbortSignal
}

export interface ProbeLoop {
  /** Why requests reached no endpoint; '' after an answer. */
  readonly reason: string
  /**
   * After several consecutive failures, requests wait for the next exchange with the coordinator.
   */
  readonly isSuspect: boolean
  readonly isProbing: boolean
  unavailable(reason: string): void
  answered(): void
  /** Called after an exchange with the coordinator: its view replaces the local suspicion. */
  exchanged(): void
  /** Starts probing if `isWanted`, unless it is probing already. */
  start(): void
}

/** Consecutive requests without an endpoint that make it suspect. */
const SUSPECT_AFTER = 3
/** Interval between probes: 1 s at first, doubled up to 5 s. */
const PROBE_MS = { least: 1_000, most: 5_000 } as const

export function createProbeLoop(options: ProbeLoopOptions): ProbeLoop {
  const { probe, isWanted, onUnavailable, onAnswered, clock, random, signal } = options
  let met = ''
  let inARow = 0
  let probing = false

  async function probeUntilAnswered(probe: EndpointProbe): Promise<void> {
    probing = true
    // A proxy may hold the probe until a replica has started.
    met ||= 'cold start'
    try {
      for (let waitMs: number = PROBE_MS.least; ; waitMs = Math.min(2 * waitMs, PROBE_MS.most)) {
        const found = await probe(signal)
        if (found === null) {
          met = ''
          onAnswered()
          // The coordinator must learn of the answer before the next probe.
          await clock.sleep(PROBE_MS.least, signal)
          return
        }
        unavailable(found.reason)
        await clock.sleep(Math.max(found.afterMs ?? 0, PROBE_MS.least + waitMs * random()), signal)
        if (!isWanted()) return
      }
    } catch {
      // Closed.
    } finally {
      probing = false
    }
  }

  function unavailable(what: string): void {
    met = what
    inARow++
    onUnavailable()
  }

  return {
    get reason() {
      return met
    },
    get isSuspect() {
      return inARow >= SUSPECT_AFTER
    },
    get isProbing() {
      return probing
    },
    unavailable,
    answered() {
      met = ''
      inARow = 0
    },
    exchanged() {
      inARow = 0
    },
    start() {
      if (probe && !probing && isWanted()) void probeUntilAnswered(probe)
    },
  }
}
