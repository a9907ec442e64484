// An endpoint that answers nobody: what was met there, and the one prober of the fleet that looks whether it is back.

import type { Clock } from '../clock.ts'

/** Looks whether the endpoint answers: null if so, else what it met and when to look again at the earliest. */
export type Probe = (
  signal: AbortSignal,
) => Promise<{ readonly met: string; readonly afterMs?: number | undefined } | null>

export interface WakingOptions {
  readonly probe: Probe | undefined
  /** Whether the endpoint is still away and this worker the one to look. */
  readonly isWanted: () => boolean
  /** Told of each probe, so that the board hears of it. */
  readonly onMissed: () => void
  readonly onAnswered: () => void
  readonly clock: Clock
  readonly random: () => number
  /** Closes. */
  readonly signal: AbortSignal
}

export interface Waking {
  /** What requests met instead of the endpoint; '' since one was answered. */
  readonly met: string
  /** So many requests in a row met nothing that the others wait for what the board says. */
  readonly isDoubtful: boolean
  readonly isProbing: boolean
  missed(met: string): void
  answered(): void
  /** The board was asked: what it says counts from now on. */
  heard(): void
  /** Probes as long as it is wanted, unless it does so already. */
  look(): void
}

/** After this many requests in a row met no endpoint there is doubt. */
const DOUBT = 3
/** Probes of an endpoint that is away: at most one a second, 5 s apart when it takes long. */
const PROBE_MS = { least: 1_000, most: 5_000 } as const

export function createWaking(options: WakingOptions): Waking {
  const { probe, isWanted, onMissed, onAnswered, clock, random, signal } = options
  let met = ''
  let inARow = 0
  let probing = false

  async function look(probe: Probe): Promise<void> {
    probing = true
    // A proxy may hold the probe until a replica is there.
    met ||= 'waking'
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
        missed(found.met)
        await clock.sleep(Math.max(found.afterMs ?? 0, PROBE_MS.least + waitMs * random()), signal)
        if (!isWanted()) return
      }
    } catch {
      // Closed.
    } finally {
      probing = false
    }
  }

  function missed(what: string): void {
    met = what
    inARow++
    onMissed()
  }

  return {
    get met() {
      return met
    },
    get isDoubtful() {
      return inARow >= DOUBT
    },
    get isProbing() {
      return probing
    },
    missed,
    answered() {
      met = ''
      inARow = 0
    },
    heard() {
      inARow = 0
    },
    look() {
      if (probe && !probing && isWanted()) void look(probe)
    },
  }
}
