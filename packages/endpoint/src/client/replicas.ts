// The replicas of one endpoint: who is there now, and who of them is slow or failing. Which of them a run may use is
// settled in seats.ts, since a replica may have the model of one run and not that of another.

import { type Clock, systemClock } from '../clock.ts'
import type { Addresses, Place } from './addresses.ts'
import { createBalancer } from './balancer.ts'
import type { Endpoint } from './endpoint.ts'
import type { ReplicaEvent } from './replica-event.ts'
import { createSeats, type Seats } from './seats.ts'
import { createServing } from './serving.ts'

export interface ReplicasOptions {
  readonly open: (place: Place, truncate: boolean, signal: AbortSignal) => Promise<Endpoint>
  readonly onEvent?: ((event: ReplicaEvent) => void) | undefined
  readonly clock?: Clock
  readonly random?: () => number
}

type Prove<Proof> = (one: Endpoint, place: Place, signal: AbortSignal) => Promise<Proof>

/** How many replicas stand how; each is counted once. */
export interface ReplicaCounts {
  readonly in_use: number
  /** Slow or failing of late: tried again by itself. */
  readonly ejected: number
  /** Has another model, or is no endpoint. */
  readonly quarantined: number
  /** Not opened yet, or cannot be. */
  readonly unreachable: number
}

export interface Replicas extends AsyncDisposable {
  readonly counts: ReplicaCounts
  /**
   * The replicas as one endpoint for a run: those that `prove` accepts. Resolves when the first one is proved.
   * @throws ReembedError MODEL_MISMATCH when none is left; else why no replica can be used.
   */
  serve<Proof>(
    run: string,
    truncate: boolean,
    prove: Prove<Proof>,
  ): Promise<{ readonly endpoint: Endpoint; readonly proof: Proof }>
}

/** Names are resolved again, and what is due is opened and proved again, this often. */
const LOOK_MS = 5_000
/** A replica that fails may be gone: looked at once, but not more often than this. */
const LOOK_LEAST_MS = 1_000
/** Runs that are served; the one that was served longest ago makes room. */
const KEPT_RUNS = 8

export function createReplicas(
  addresses: Addresses,
  { open, onEvent, clock = systemClock, random = Math.random }: ReplicasOptions,
): Replicas {
  const balancer = createBalancer<Place>({
    now: clock.now,
    random,
    onEjected: ({ shown }, ms) =>
      onEvent?.({ kind: 'ejected', replica: shown, why: `slow or failing, tried again in ${ms / 1000} s` }),
  })
  const places = new Map<string, Place>()
  const runs = new Map<string, { readonly seats: Seats<unknown>; readonly endpoint: Endpoint }>()
  const closed = new AbortController()
  let looking: Promise<void> | undefined
  let lookedMs = Number.NEGATIVE_INFINITY
  let keeping: Promise<void> | undefined

  /** @throws ReembedError while no replica is known. */
  function look(): Promise<void> {
    looking ??= update().finally(() => {
      looking = undefined
      lookedMs = clock.now()
      for (const { seats } of runs.values()) seats.tend()
    })
    return looking
  }

  async function update(): Promise<void> {
    const found = new Map((await addresses.find()).map(place => [place.shown, place]))
    for (const [shown, place] of places) {
      if (found.has(shown)) continue
      places.delete(shown)
      balancer.remove(place)
      onEvent?.({ kind: 'gone', replica: shown })
    }
    for (const [shown, place] of found) {
      if (places.has(shown)) continue
      places.set(shown, place)
      balancer.add(place)
      onEvent?.({ kind: 'found', replica: shown })
    }
  }

  async function keepLooking(): Promise<void> {
    while (!closed.signal.aborted) {
      await clock.sleep(LOOK_MS * (0.9 + 0.2 * random()), closed.signal).catch(() => {})
      if (!closed.signal.aborted) await look().catch(() => {})
    }
  }

  const lost = (): void => {
    if (clock.now() - lookedMs > LOOK_LEAST_MS) look().catch(() => {})
  }

  function serve<Proof>(truncate: boolean, prove: Prove<Proof>): { seats: Seats<Proof>; endpoint: Endpoint } {
    const seats = createSeats<Proof>({
      places: () => [...places.values()],
      open: (place, signal) => open(place, truncate, signal),
      prove,
      onEvent,
      clock,
    })
    return { seats, endpoint: createServing({ url: addresses.name, seats, balancer, lost }) }
  }

  return {
    get counts() {
      const counts = { in_use: 0, ejected: 0, quarantined: 0, unreachable: 0 }
      const newest = [...runs.values()].at(-1)
      for (const place of places.values()) {
        const state = newest?.seats.stateOf(place) ?? 'unreachable'
        counts[state === 'in_use' && balancer.ejected.includes(place) ? 'ejected' : state]++
      }
      return counts
    },
    async serve<Proof>(run: string, truncate: boolean, prove: Prove<Proof>) {
      const known = runs.get(run) as { seats: Seats<Proof>; endpoint: Endpoint } | undefined
      const serving = known ?? serve(truncate, prove)
      runs.delete(run)
      runs.set(run, serving)
      const [oldest] = runs
      if (runs.size > KEPT_RUNS && oldest !== undefined) {
        runs.delete(oldest[0])
        void oldest[1].seats[Symbol.asyncDispose]()
      }
      keeping ??= keepLooking()
      if (places.size === 0) await look()
      return { endpoint: serving.endpoint, proof: await serving.seats.ready() }
    },
    async [Symbol.asyncDispose]() {
      closed.abort(new Error('the endpoint is closed'))
      await keeping
      await looking?.catch(() => {})
      await Promise.all([...runs.values()].map(({ seats }) => seats[Symbol.asyncDispose]()))
    },
  }
}
