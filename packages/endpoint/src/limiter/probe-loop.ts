// An endpoint that answers nobody: what was met there, and the one prober of the fleet that looks
// whether it is back.

import type { Clock } from '../clock.ts'

/**
 * Looks whether the endpoint answers: null if so, else what it met and when to look again at the
 * earliest.
 */
export type EndpointProbe = (
  signal: AbortSignal,
) => Promise<{ readonly reason: string; readonly afterMs?: number | undefined } | null>

export interface ProbeLoopOptions {
  readonly probe: EndpointProbe | undefined
  /** Whether the endpoint is still away and this worker the one to look. */
  readonly isWanted: () => boolean
  /** Told of each probe, so that the board hears of it. */
  readonly onUnavailable: () => void
  readonly onAnswered: () => void
  readonly clock: Clock
  readonly random: () => number
  /** Closes. */
  readonly signal: AbortSignal
}

export interface ProbeLoop {
  /** What requests met instead of the endpoint; '' since one was answered. */
  readonly reason: string
  /** So many requests in a row met nothing that the others wait for what the board says. */
  readonly isSuspect: boolean
  readonly isProbing: boolean
  unavailable(reason: string): void
  answered(): void
  /** The board was asked: what it says counts from now on. */
  exchanged(): void
  /** Probes as long as it is wanted, unless it does so already. */
  start(): void
}

/** After this many requests in a row met no endpoint there is doubt. */
const SUSPECT_AFTER = 3
/** Probes of an endpoint that is away: at most one a second, 5 s apart when it takes long. */
const PROBE_MS = { least: 1_000, most: 5_000 } as const

export function createProbeLoop(options: ProbeLoopOptions): ProbeLoop {
  const { probe, isWanted, onUnavailable, onAnswered, clock, random, signal } = options
  let met = ''
  let inARow = 0
  let probing = false

  async function probeUntilAnswered(probe: EndpointProbe): Promise<void> {
    probing = true
    // A proxy may hold the probe until a replica is there.
    met ||= 'cold start'
    try {
      for (let waitMs: number = PROBE_MS.least; ; waitMs = Math.min(2 * waitMs, PROBE_MS.most)) {
        const found = await probe(signal)
        if (found === null) {
          met = ''
          onAnswered()
          // Not again before the board has heard of it.
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
