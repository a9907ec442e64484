// How many inputs may be in flight at one endpoint, and whether it is there at all. One limit for
// all workers, split evenly among those with something to send; they meet at a board (in Redis, or
// in memory for one worker alone).
//
//   acquire(n) ──> permit ──> success(sample)   answered: counts for the next step
//                         ──> ignore()          says nothing about load (abort, bad input)
//                         ──> dropped(why)      refused or lost to overload, or met no endpoint: back off
//
//   there ──nobody is answered──> away ──the one prober is answered──> there
//
// While the endpoint is away nobody sends; who waited for longer than its patience is told to come
// again later. When Redis is silent, the worker goes on alone within its last share.

import { createLimitCoordinator, type LimitCoordinator } from '@reembed/queue'
import { ReembedError } from '@reembed/shared'
import { type Clock, systemClock } from '../clock.ts'
import { createDeadline } from './deadline.ts'
import { createLimitMember, type LimitMember, NOT_PROBED_YET } from './member.ts'
import { MIN_PERMIT, permitSize } from './permit-size.ts'
import { createProbeLoop, type EndpointProbe } from './probe-loop.ts'
import { createRetryBudget } from './retry-budget.ts'
import { initialState } from './step.ts'
import { createTally, type Sample } from './tally.ts'

export type { EndpointProbe } from './probe-loop.ts'
export type { Sample } from './tally.ts'

/**
 * Inputs in flight. The first ending counts, later ones do nothing; leaving its scope without one
 * ignores it.
 */
export interface Permit extends Disposable {
  /** At most what was asked for; less where the share is smaller. */
  readonly inputs: number
  success(sample: Sample): void
  ignore(): void
  /** `unavailableReason` when the request met no endpoint: what it met instead. */
  dropped(unavailableReason?: string): void
}

export interface Limiter extends AsyncDisposable {
  /** Inputs that this worker may have in flight now, and those that it has. */
  readonly limit: number
  readonly inFlight: number
  /** In a few words: 'ok, 120 of 480 inputs at once', 'warming, 41 s'. */
  readonly state: string
  /**
   * Waits its turn, first come first served, for a permit of 1 to `inputs` inputs.
   * @param whole not in part, unless the whole share is smaller: something is paid per request
   * @throws ReembedError ENDPOINT_UNREACHABLE, to be tried later, when the endpoint stays away.
   */
  acquire(inputs: number, signal?: AbortSignal, whole?: boolean): Promise<Permit>
  /** How long a request may take: max(30 s, 6 x p95) of the replies. */
  readonly deadlineMs: number
  /** Waits until the fleet's budget allows a request to be sent again. */
  retry(signal?: AbortSignal): Promise<void>
}

export interface LimiterOptions {
  readonly min?: number
  /** Inputs that the endpoint takes at once; may change as replicas come and go. */
  readonly max: number | (() => number)
  /** What to begin with, before anything is known of load; asked for again until it is. */
  readonly initial?: number | (() => number)
  /** Shared with the other workers. Alone if not given. */
  readonly coordinator?: LimitCoordinator | undefined
  /** Name on the board, different for each worker. */
  readonly worker?: string | undefined
  /** Without one, an endpoint that is away is tried by whoever comes next. */
  readonly probe?: EndpointProbe | undefined
  /** How long the endpoint may be away before those who wait are sent back. */
  readonly maxUnavailableMs?: number
  readonly clock?: Clock
  readonly random?: () => number
}

const WINDOW_MS = 500
/** A worker that has nothing to send stays at the board for so long. */
const IDLE_WINDOWS = 4
/** When those who were sent back shall try again, at the earliest. */
const RETRY_AFTER_MS = 5_000

interface Waiter {
  readonly inputs: number
  readonly whole: boolean
  readonly sinceMs: number
  readonly grant: (permit: Permit) => void
  readonly refuse: (error: unknown) => void
}

export function createLimiter({
  min = 1,
  max,
  initial = 64,
  coordinator,
  worker = 'me',
  probe,
  maxUnavailableMs = 60_000,
  clock = systemClock,
  random = Math.random,
}: LimiterOptions): Limiter {
  const maxLimit = (): number => Math.max(min, typeof max === 'number' ? max : max())
  const startLimit = (): number => Math.max(min, typeof initial === 'number' ? initial : initial())
  const lastReason = (): string => probeLoop.reason
  const fleetMember = createLimitMember({
    coordinator: coordinator ?? createLimitCoordinator(clock),
    start: initialState(null, probe !== undefined),
    min,
    max: maxLimit,
    initial: startLimit,
    unavailableReason: lastReason,
  })
  let member = fleetMember
  const waiting: Waiter[] = []
  let inFlight = 0
  /**
   * Inputs refused since the last exchange: to send others in their place would have them refused
   * as well.
   */
  let lost = 0
  let peakInFlight = 0
  const tally = createTally()
  const deadline = createDeadline()
  const budget = createRetryBudget(clock, () => member.view?.members ?? 1)
  let steering: Promise<void> | undefined
  let nudge = Promise.withResolvers<void>()
  const closed = new AbortController()
  const probeLoop = createProbeLoop({
    probe,
    isWanted: () => member.state.isUnavailable && member.view?.isProber === true && member.view.members > 0,
    onUnavailable: () => tally.unavailable(),
    onAnswered() {
      tally.probeAnswered()
      nudge.resolve()
    },
    clock,
    random,
    signal: closed.signal,
  })

  const share = (): number =>
    (member.state.isUnavailable && probe) || probeLoop.isSuspect ? 0 : member.share

  function pump(): void {
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      const limit = share() - lost
      const inputs = permitSize(next.inputs, next.whole, { limit, inFlight, serverMs: tally.serverMs })
      if (inputs === 0) {
        // Used as far as it goes, even where the next request does not quite fit.
        peakInFlight = Math.max(peakInFlight, limit)
        return
      }
      waiting.shift()
      next.grant(take(inputs))
    }
  }

  function take(inputs: number): Permit {
    inFlight += inputs
    peakInFlight = Math.max(peakInFlight, inFlight)
    let ended = false
    const end = (count?: () => void): void => {
      if (ended) return
      ended = true
      inFlight -= inputs
      count?.()
      pump()
    }
    return {
      inputs,
      success: sample => end(() => answered(inputs, sample)),
      ignore: () => end(),
      dropped: unavailableReason =>
        end(() => {
          lost += inputs
          if (unavailableReason === undefined) tally.refused()
          else probeLoop.unavailable(unavailableReason)
        }),
      [Symbol.dispose]: () => end(),
    }
  }

  function answered(inputs: number, sample: Sample): void {
    tally.answered(inputs, sample)
    deadline.learn(sample.totalMs)
    budget.answered()
    probeLoop.answered()
  }

  /** Meets the others twice a second, while there is anything to send and a little longer. */
  async function exchangeLoop(): Promise<void> {
    for (let idle = 0; !closed.signal.aborted; idle++) {
      // Asked at the end of a window as well: who came in the last one relies on this loop, and
      // nobody else calls him.
      if (probeLoop.isProbing || inFlight > 0 || waiting.length > 0) idle = 0
      if (idle === IDLE_WINDOWS) break
      nudge = Promise.withResolvers()
      await exchange()
      pump()
      rejectOverdue()
      const rest = clock.sleep(WINDOW_MS * (0.9 + 0.2 * random()), closed.signal)
      await Promise.race([rest, nudge.promise]).catch(() => {})
    }
    steering = undefined
  }

  async function exchange(): Promise<void> {
    const report = {
      worker,
      hasDemand: peakInFlight > 0 || waiting.length > 0,
      sums: tally.take(),
      peakInFlight,
      canProbe: probe !== undefined,
    }
    peakInFlight = inFlight
    try {
      await fleetMember.exchange(report)
      member = fleetMember
    } catch {
      // The board is silent. Within its last share this worker goes on alone: if all do so, the
      // limit still holds.
      if (member === fleetMember) member = createLocalMember(Math.max(min, share() || MIN_PERMIT))
      await member.exchange(report)
    }
    probeLoop.exchanged()
    lost = 0
    probeLoop.start()
  }

  const createLocalMember = (limit: number): LimitMember =>
    createLimitMember({
      coordinator: createLimitCoordinator(clock),
      start: initialState(limit, fleetMember.state.isUnavailable),
      min,
      max: () => limit,
      initial: () => limit,
      unavailableReason: lastReason,
    })

  function rejectOverdue(): void {
    const { state, view } = member
    if (!state.isUnavailable || probe === undefined) return
    const late = waiting.filter(({ sinceMs }) => clock.now() - sinceMs > maxUnavailableMs)
    if (late.length === 0) return
    waiting.splice(0, waiting.length, ...waiting.filter(waiter => !late.includes(waiter)))
    const why = `the endpoint is away (${probeLoop.reason || view?.unavailable || NOT_PROBED_YET})`
    for (const { refuse } of late) {
      refuse(
        new ReembedError('ENDPOINT_UNREACHABLE', why, { retry: 'requeue', retryAfterMs: RETRY_AFTER_MS }),
      )
    }
  }

  return {
    get limit() {
      return share()
    },
    get inFlight() {
      return inFlight
    },
    get state() {
      const { view, state } = member
      if (view === undefined) return 'not used yet'
      const silent = member === fleetMember ? '' : ', Redis is silent'
      if (state.isUnavailable) {
        return `${probeLoop.reason || view.unavailable || NOT_PROBED_YET}, ${Math.round(view.unavailableMs / 1000)} s${silent}`
      }
      const limit = Math.floor(Math.min(state.limit ?? startLimit(), maxLimit()))
      const fleet = view.members > 1 ? `, shared by ${view.members} workers` : ''
      return `ok, limit ${limit}${fleet}${silent}`
    },
    async acquire(inputs, signal, whole = false) {
      signal?.throwIfAborted()
      closed.signal.throwIfAborted()
      const { promise, resolve, reject } = Promise.withResolvers<Permit>()
      const waiter: Waiter = { inputs, whole, sinceMs: clock.now(), grant: resolve, refuse: reject }
      const leave = (): void => {
        const place = waiting.indexOf(waiter)
        if (place >= 0) waiting.splice(place, 1)
        reject(signal?.reason)
        // Whoever stood behind may fit now.
        pump()
      }
      signal?.addEventListener('abort', leave, { once: true })
      waiting.push(waiter)
      steering ??= exchangeLoop()
      pump()
      try {
        const permit = await promise
        // Granted, but nobody wants it any more: give it back instead of losing it.
        if (signal?.aborted) permit.ignore()
        signal?.throwIfAborted()
        return permit
      } finally {
        signal?.removeEventListener('abort', leave)
      }
    },
    get deadlineMs() {
      return deadline.ms
    },
    retry: signal => budget.spend(signal),
    async [Symbol.asyncDispose]() {
      if (closed.signal.aborted) return
      closed.abort(new Error('the limiter is closed'))
      for (const { refuse } of waiting.splice(0)) refuse(closed.signal.reason)
      await steering
      // The others need not wait until this worker is missed.
      if (fleetMember.view === undefined) return
      const leaving = { worker, hasDemand: false, sums: tally.take(), peakInFlight: 0, canProbe: false }
      await fleetMember.exchange(leaving).catch(() => {})
    },
  }
}
