// Limits the inputs in flight at one endpoint and tracks its availability. All workers share one
// limit, split evenly among those with demand. A coordinator (in Redis, or in memory for a single
// worker) holds it.
//
//   acquire(n) ──> permit ──> success(sample)   answered: counts for the next step
//                         ──> ignore()          no information about load (abort, bad input)
//                         ──> dropped(why)      refused, lost to overload, or endpoint unavailable: back off
//
//   available ──no request is answered──> unavailable ──the prober is answered──> available
//
// While the endpoint is unavailable only the prober sends; requests that wait longer than
// `maxUnavailableMs` fail with a delay. While Redis does not answer, the worker continues within
// its last share.

import { createLimitCoordinator, type LimitCoordinator } from '@reembed/queue'
import { type Clock, ReembedError, systemClock } from '@reembed/shared'
import { createDeadline } from './deadline.ts'
import { createLimitMember, type LimitMember, NOT_PROBED_YET } from './member.ts'
import { MIN_PERMIT, permitSize } from './permit-size.ts'
import { createProbeLoop, type EndpointProbe } from './probe-loop.ts'
import { createRetryBudget } from './retry-budget.ts'
import { initialState } from './step.ts'
import { createTally, type Sample } from './tally.ts'

/**
 * Inputs in flight. Only the first ending has an effect; leaving the scope without one is `ignore`.
 */
export interface Permit extends Disposable {
  /** At most the requested number; fewer where the share is smaller. */
  readonly inputs: number
  success(sample: Sample): void
  ignore(): void
  /** `unavailableReason`: why the request reached no endpoint; undefined for overload. */
  dropped(unavailableReason?: string): void
}

export interface Limiter extends AsyncDisposable {
  /** Inputs that this worker may have in flight, and those that it has. */
  readonly limit: number
  readonly inFlight: number
  /** A short description: 'ok, limit 480, shared by 4 workers', 'warming, 41 s'. */
  readonly state: string
  /** Why requests reach no endpoint, and for how long; undefined while it is available. */
  readonly unavailable: { readonly reason: string; readonly ms: number } | undefined
  /**
   * Waits, first in first out, for a permit of 1 to `inputs` inputs.
   * @param whole do not split the request unless the share is smaller: each request has a fixed
   * cost
   * @throws ReembedError ENDPOINT_UNREACHABLE (requeue) when the endpoint stays unavailable
   */
  acquire(inputs: number, signal?: AbortSignal, whole?: boolean): Promise<Permit>
  /** Timeout of a request: max(30 s, 6 x p95) of the replies. */
  readonly deadlineMs: number
  /** Waits until the fleet's retry budget allows a retry. */
  retry(signal?: AbortSignal): Promise<void>
}

export interface LimiterOptions {
  readonly min?: number
  /** Maximum inputs in flight at the endpoint; may change with its replicas. */
  readonly max: number | (() => number)
  /** Limit before the first reply; evaluated again until then. */
  readonly initial?: number | (() => number)
  /** Shared with the other workers; a coordinator in memory if not given. */
  readonly coordinator?: LimitCoordinator | undefined
  /** Unique name of the member. */
  readonly worker?: string | undefined
  /** Without a probe, requests are sent to an unavailable endpoint too. */
  readonly probe?: EndpointProbe | undefined
  /** How long requests wait for an unavailable endpoint before they fail. */
  readonly maxUnavailableMs?: number
  readonly clock?: Clock
  readonly random?: () => number
}

const WINDOW_MS = 500
/** Windows without demand after which the worker leaves the coordinator. */
const IDLE_WINDOWS = 4
/** Minimum delay of jobs whose request waited too long. */
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
   * Inputs refused since the last exchange. Their permits stay unused until then: replacements
   * would be refused too.
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
        // The limit counts as fully used, even where the next request does not fit.
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

  /**
   * Exchanges with the coordinator twice a second while there is demand, and for some windows after
   * it.
   */
  async function exchangeLoop(): Promise<void> {
    for (let idle = 0; !closed.signal.aborted; idle++) {
      // Checked after the last window too: a waiter that arrived in it depends on this loop alone.
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
      // Redis does not answer. The worker continues within its last share: if all workers do so,
      // the limit holds.
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

  const reasonIn = (view: LimitMember['view']): string =>
    probeLoop.reason || view?.unavailable || NOT_PROBED_YET

  function rejectOverdue(): void {
    const { state, view } = member
    if (!state.isUnavailable || probe === undefined) return
    const late = waiting.filter(({ sinceMs }) => clock.now() - sinceMs > maxUnavailableMs)
    if (late.length === 0) return
    waiting.splice(0, waiting.length, ...waiting.filter(waiter => !late.includes(waiter)))
    const found = reasonIn(view)
    const why = `the endpoint is unavailable for more than ${maxUnavailableMs / 1000} s (${found}): start it, or read its logs`
    const reason = found === 'warming' ? 'cold_start' : undefined
    for (const { refuse } of late) {
      refuse(
        new ReembedError('ENDPOINT_UNREACHABLE', why, {
          retry: 'requeue',
          retryAfterMs: RETRY_AFTER_MS,
          reason,
        }),
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
      const silent = member === fleetMember ? '' : ', Redis does not answer'
      if (state.isUnavailable) return `${reasonIn(view)}, ${Math.round(view.unavailableMs / 1000)} s${silent}`
      const limit = Math.floor(Math.min(state.limit ?? startLimit(), maxLimit()))
      const fleet = view.members > 1 ? `, shared by ${view.members} workers` : ''
      return `ok, limit ${limit}${fleet}${silent}`
    },
    get unavailable() {
      const { view, state } = member
      if (view === undefined || !state.isUnavailable) return undefined
      return { reason: reasonIn(view), ms: view.unavailableMs }
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
        // The next waiter may fit now.
        pump()
      }
      signal?.addEventListener('abort', leave, { once: true })
      waiting.push(waiter)
      steering ??= exchangeLoop()
      pump()
      try {
        const permit = await promise
        // Granted and aborted at the same time: the permit must be returned.
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
      // Leaving at once frees this worker's share before its membership expires.
      if (fleetMember.view === undefined) return
      const leaving = { worker, hasDemand: false, sums: tally.take(), peakInFlight: 0, canProbe: false }
      await fleetMember.exchange(leaving).catch(() => {})
    },
  }
}
