// Which replicas a run may use.
//
//   new ──opened, proved to have the run's model──> in use ──a reply of other weights──> quarantined ──30 s──> new
//    └──cannot be opened──> unreachable ──5 s──> new

import { messageOf, ReembedError } from '@reembed/shared'
import type { Clock } from '../clock.ts'
import type { Place } from './addresses.ts'
import type { Endpoint } from './endpoint.ts'
import { BLOCKED_MS, type Failure, toError } from './outcome.ts'
import type { ReplicaEvent } from './replica-event.ts'

export type SeatState = 'in_use' | 'quarantined' | 'unreachable'

export interface SeatsOptions<Proof> {
  readonly places: () => readonly Place[]
  readonly open: (place: Place, signal: AbortSignal) => Promise<Endpoint>
  readonly prove: (one: Endpoint, place: Place, signal: AbortSignal) => Promise<Proof>
  readonly onEvent?: ((event: ReplicaEvent) => void) | undefined
  readonly clock: Clock
}

export interface Seats<Proof> extends AsyncDisposable {
  /** Of those in use. */
  readonly endpoints: readonly Endpoint[]
  readonly inUse: readonly Place[]
  stateOf(place: Place): SeatState
  /** Opens and proves what is new or due, and lets go of what is gone. */
  tend(): void
  /** Resolves with the proof of a replica that can be used. @throws ReembedError when there is none. */
  ready(): Promise<Proof>
  /** Calls `send` with the replica's endpoint, which stays open until that ends. */
  borrow<T>(place: Place, send: (endpoint: Endpoint) => Promise<T>): Promise<T>
  /** Out of use, until it is opened and proved again. */
  quarantine(place: Place, failure: Failure): void
  /** What a request meets when no replica is in use. */
  nobody(): Failure
}

const UNREACHABLE_MS = 5_000

interface Seat<Proof> {
  state: SeatState
  /** Open, though it may be on its way out. */
  endpoint: Endpoint | undefined
  /** Settled when the replica was proved, or could not be. */
  proof: Promise<Proof>
  entering: boolean
  /** Why it is not in use, and when it is tried again. */
  failure: Failure | undefined
  againMs: number
  borrowed: number
}

export function createSeats<Proof>({
  places,
  open,
  prove,
  onEvent,
  clock,
}: SeatsOptions<Proof>): Seats<Proof> {
  const seats = new Map<Place, Seat<Proof>>()
  const ended = new AbortController()

  function tend(): void {
    if (ended.signal.aborted) return
    const there = new Set(places())
    for (const [place, seat] of seats) {
      if (there.has(place)) continue
      seats.delete(place)
      void leave(seat)
    }
    for (const place of there) {
      const seat = seats.get(place)
      const isDue = seat?.state !== 'in_use' && !seat?.entering && (seat?.againMs ?? 0) <= clock.now()
      if (isDue) enter(place, seat)
    }
  }

  function enter(place: Place, before: Seat<Proof> | undefined): void {
    const seat: Seat<Proof> = {
      state: before?.state ?? 'unreachable',
      endpoint: undefined,
      proof: openAndProve(),
      entering: true,
      failure: before?.failure,
      againMs: 0,
      borrowed: 0,
    }
    seats.set(place, seat)
    seat.proof.catch(() => {})

    async function openAndProve(): Promise<Proof> {
      let endpoint: Endpoint | undefined
      try {
        endpoint = await open(place, ended.signal)
        const proof = await prove(endpoint, place, ended.signal)
        if (seats.get(place) !== seat) throw gone(place)
        Object.assign(seat, { endpoint, state: 'in_use' satisfies SeatState, entering: false })
        onEvent?.({ kind: 'in_use', replica: place.shown })
        return proof
      } catch (error) {
        await endpoint?.[Symbol.asyncDispose]()
        put(place, seat, { kind: isMismatch(error) ? 'wrong_model' : 'down', message: messageOf(error) })
        throw error
      }
    }
  }

  function put(place: Place, seat: Seat<Proof>, failure: Failure): void {
    const state = failure.kind === 'down' ? 'unreachable' : 'quarantined'
    const isNews = seat.state !== state || seat.failure === undefined
    const againMs = clock.now() + (state === 'quarantined' ? BLOCKED_MS : UNREACHABLE_MS)
    Object.assign(seat, { state, failure, againMs, entering: false })
    if (isNews && seats.get(place) === seat)
      onEvent?.({ kind: state, replica: place.shown, why: failure.message })
    void leave(seat)
  }

  /** Its requests under way may still end well. */
  async function leave(seat: Seat<Proof>): Promise<void> {
    const { endpoint } = seat
    if (endpoint === undefined || seat.borrowed > 0) return
    seat.endpoint = undefined
    await endpoint[Symbol.asyncDispose]()
  }

  const using = (): (readonly [Place, Seat<Proof>])[] =>
    [...seats].filter(([, { state }]) => state === 'in_use')

  return {
    get endpoints() {
      return using().flatMap(([, { endpoint }]) => endpoint ?? [])
    },
    get inUse() {
      return using().map(([place]) => place)
    },
    stateOf: place => seats.get(place)?.state ?? 'unreachable',
    tend,
    ready() {
      tend()
      return anyOf([...seats.values()].map(({ proof }) => proof))
    },
    async borrow(place, send) {
      const seat = seats.get(place)
      if (seat?.endpoint === undefined) throw gone(place)
      seat.borrowed++
      try {
        return await send(seat.endpoint)
      } finally {
        seat.borrowed--
        if (seat.state !== 'in_use' || seats.get(place) !== seat) void leave(seat)
      }
    },
    quarantine(place, failure) {
      const seat = seats.get(place)
      if (seat?.state !== 'in_use') return
      seat.proof = Promise.reject(toError(failure, place.shown))
      seat.proof.catch(() => {})
      put(place, seat, failure)
    },
    nobody() {
      const all = [...seats.values()]
      const [first] = all.flatMap(({ failure }) => failure ?? [])
      if (first && all.every(({ state }) => state === 'quarantined')) return first
      return { kind: 'down', message: `no replica can be used: ${first?.message ?? 'none is known'}` }
    },
    async [Symbol.asyncDispose]() {
      ended.abort(new Error('the endpoint is closed'))
      const all = [...seats.values()]
      seats.clear()
      await Promise.allSettled(all.map(({ proof }) => proof))
      await Promise.all(all.map(({ endpoint }) => endpoint?.[Symbol.asyncDispose]()))
    },
  }
}

/**
 * The first that is proved. When none is, a mismatch only where all have another model: a replica that is away may
 * have the right one.
 */
async function anyOf<Proof>(proofs: readonly Promise<Proof>[]): Promise<Proof> {
  const settled = await Promise.any(proofs).then(
    proof => ({ proof }),
    ({ errors }: AggregateError) => ({ errors }),
  )
  if ('proof' in settled) return settled.proof
  throw settled.errors.find(error => !isMismatch(error)) ?? settled.errors[0]
}

const isMismatch = (error: unknown): boolean =>
  error instanceof ReembedError && error.code === 'MODEL_MISMATCH'
const gone = ({ shown }: Place): ReembedError =>
  new ReembedError('ENDPOINT_UNREACHABLE', `the replica ${shown} is gone`, { retry: 'later' })
