// How many inputs may be in flight at one endpoint, and whether it is there at all. One limit for all workers, split
// evenly among those with something to send; they meet at a board (in Redis, or in memory for one worker alone).
//
//   acquire(n) ──> permit ──> success(sample)   answered: counts for the next step
//                         ──> ignore()          says nothing about load (abort, bad input)
//                         ──> dropped(why)      refused or lost to overload, or met no endpoint: back off
//
//   there ──nobody is answered──> away ──the one prober is answered──> there
//
// While the endpoint is away nobody sends; who waited for longer than its patience is told to come again later.
// When Redis is silent, the worker goes on alone within its last share.

import {
  type Board,
  createBoard,
  ReembedError,
  type Report,
  type Settlement,
  type Sums,
  type View,
} from '@reembed/shared'
import { type Clock, systemClock } from './embed/clock.ts'
import { createDeadline } from './limiter/deadline.ts'
import { createRetryBudget } from './limiter/retry-budget.ts'
import { initialState, type LimitState, parseState, step } from './limiter/step.ts'

/** What an answered request tells about load. Null where the server does not say. */
export interface Sample {
  readonly queueMs: number | null
  readonly inferenceMs: number | null
  readonly totalMs: number
}

/** Inputs in flight. The first ending counts, later ones do nothing; leaving its scope without one ignores it. */
export interface Permit extends Disposable {
  /** At most what was asked for; less where the share is smaller. */
  readonly inputs: number
  success(sample: Sample): void
  ignore(): void
  /** `absent` when the request met no endpoint: what it met instead. */
  dropped(absent?: string): void
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

/** Looks whether the endpoint answers: null if so, else what it met and when to look again at the earliest. */
export type Probe = (
  signal: AbortSignal,
) => Promise<{ readonly met: string; readonly afterMs?: number | undefined } | null>

export interface LimiterOptions {
  readonly min?: number
  /** Inputs that the endpoint takes at once; may change as replicas come and go. */
  readonly max: number | (() => number)
  readonly initial?: number
  /** Shared with the other workers. Alone if not given. */
  readonly board?: Board | undefined
  /** Name on the board, different for each worker. */
  readonly worker?: string | undefined
  /** Without one, an endpoint that is away is tried by whoever comes next. */
  readonly probe?: Probe | undefined
  /** How long the endpoint may be away before those who wait are sent back. */
  readonly patienceMs?: number
  readonly clock?: Clock
  readonly random?: () => number
}

const WINDOW_MS = 500
/** A worker that has nothing to send stays at the board for so long. */
const IDLE_WINDOWS = 4
/** After this many requests in a row met no endpoint, the others wait for what the board says. */
const DOUBT = 3
/** Probes of an endpoint that is away: at most one a second, 5 s apart when it takes long. */
const PROBE_MS = { least: 1_000, most: 5_000 } as const
/** The share goes out in about this many requests, unless they would be smaller than crumbs or too many. */
const MANY = 48
const QUICK_PER_MS = 5
const CRUMB = 8
/** Where this many requests fit, one that does not fit waits. */
const WHOLE = 8
/** When those who were sent back shall try again, at the earliest. */
const COME_BACK_MS = 5_000
const NO_ANSWER = 'not looked at yet'

interface Waiter {
  readonly inputs: number
  readonly whole: boolean
  readonly sinceMs: number
  readonly grant: (permit: Permit) => void
  readonly refuse: (error: unknown) => void
}

/** Where this worker stands at a board: what it last heard there. */
interface Seat {
  readonly board: Board
  /** Never more than this, whatever the state says. */
  readonly most: () => number
  state: LimitState
  view: View | undefined
}

export function createLimiter({
  min = 1,
  max,
  initial = 64,
  board,
  worker = 'me',
  probe,
  patienceMs = 60_000,
  clock = systemClock,
  random = Math.random,
}: LimiterOptions): Limiter {
  const most = (): number => Math.max(min, typeof max === 'number' ? max : max())
  const start = initialState(Math.min(most(), Math.max(min, initial)), probe !== undefined)
  const together: Seat = { board: board ?? createBoard(clock), most, state: start, view: undefined }
  let seat = together
  const waiting: Waiter[] = []
  let inFlight = 0
  /** Inputs refused since the last exchange: to send others in their place would have them refused as well. */
  let lost = 0
  let peak = 0
  let sums = noSums()
  let fastest = Number.POSITIVE_INFINITY
  let replyMs = 0
  const deadline = createDeadline()
  const budget = createRetryBudget(clock, () => seat.view?.workers ?? 1)
  let absences = { inARow: 0, met: '' }
  let steering: Promise<void> | undefined
  let probing = false
  let nudge = Promise.withResolvers<void>()
  const closed = new AbortController()

  /** This worker's part of the limit. The remainder goes round, so that over time all have the same. */
  function share(): number {
    const { view, state } = seat
    if (view === undefined || (state.away && probe) || absences.inARow >= DOUBT) return 0
    const limit = Math.floor(Math.min(state.limit, seat.most()))
    const workers = Math.max(1, view.workers)
    const lucky = (view.place + view.turn) % workers < limit % workers
    return Math.floor(limit / workers) + (lucky ? 1 : 0)
  }

  function pump(): void {
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      const limit = share() - lost
      // Small requests cost CPU here, which matters only where replies are many.
      const requests = !next.whole && limit < QUICK_PER_MS * replyMs ? MANY : 1
      const inputs = partOf(next, limit, inFlight, requests)
      if (inputs === 0) {
        // Used as far as it goes, even where the next request does not quite fit.
        peak = Math.max(peak, limit)
        return
      }
      waiting.shift()
      next.grant(take(inputs))
    }
  }

  function take(inputs: number): Permit {
    inFlight += inputs
    peak = Math.max(peak, inFlight)
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
      dropped: met =>
        end(() => {
          lost += inputs
          if (met === undefined) sums.refusals++
          else missed(met)
        }),
      [Symbol.dispose]: () => end(),
    }
  }

  function answered(inputs: number, { queueMs, inferenceMs, totalMs }: Sample): void {
    // Without the server's own times, what a request takes beyond the fastest one is taken as waiting. The fastest
    // is slowly forgotten, since texts and servers change.
    fastest = Math.min(fastest * 1.001, totalMs)
    replyMs = replyMs === 0 ? totalMs : 0.9 * replyMs + 0.1 * totalMs
    deadline.learn(totalMs)
    budget.answered()
    absences = { inARow: 0, met: '' }
    sums.replies++
    sums.inputs += inputs
    sums.queueMs += queueMs ?? totalMs - fastest
    sums.inferenceMs += inferenceMs ?? fastest
  }

  function missed(met: string): void {
    absences = { inARow: absences.inARow + 1, met }
    sums.absences++
  }

  /** Meets the others twice a second, while there is anything to send and a little longer. */
  async function steer(): Promise<void> {
    for (let idle = 0; idle < IDLE_WINDOWS && !closed.signal.aborted; idle++) {
      if (probing || inFlight > 0 || waiting.length > 0) idle = 0
      nudge = Promise.withResolvers()
      await exchange()
      pump()
      sendBack()
      const rest = clock.sleep(WINDOW_MS * (0.9 + 0.2 * random()), closed.signal)
      await Promise.race([rest, nudge.promise]).catch(() => {})
    }
    steering = undefined
  }

  async function exchange(): Promise<void> {
    const report = {
      worker,
      demand: peak > 0 || waiting.length > 0,
      sums,
      peak,
      canProbe: probe !== undefined,
    }
    sums = noSums()
    peak = inFlight
    try {
      await meet(together, report)
      seat = together
    } catch {
      // The board is silent. Within its last share this worker goes on alone: if all do so, the limit still holds.
      if (seat === together) seat = aloneWithin(Math.max(min, share() || CRUMB), together.state.away)
      await meet(seat, report)
    }
    absences.inARow = 0
    lost = 0
    const wanted = (seat.view?.workers ?? 0) > 0
    if (seat.state.away && seat.view?.prober && wanted && probe && !probing) void look(probe)
  }

  async function meet(at: Seat, report: Omit<Report, 'known'>): Promise<void> {
    const view = await at.board.report({ ...report, known: settlement(at, at.state) })
    const heard = parseState(view.state) ?? at.state
    const state = view.step ? step(heard, view.step, { min, max: at.most() }) : heard
    if (view.step) await at.board.settle(view.turn, settlement(at, state))
    at.state = state
    at.view = view
  }

  const settlement = ({ view }: Seat, state: LimitState): Settlement => ({
    state,
    away: state.away ? absences.met || view?.away || NO_ANSWER : null,
  })

  const aloneWithin = (limit: number, away: boolean): Seat => ({
    board: createBoard(clock),
    most: () => limit,
    state: initialState(limit, away),
    view: undefined,
  })

  /** Looks whether the endpoint is back, as long as anybody wants it and nobody else was told to look. */
  async function look(probe: Probe): Promise<void> {
    probing = true
    try {
      for (let waitMs: number = PROBE_MS.least; ; waitMs = Math.min(2 * waitMs, PROBE_MS.most)) {
        const met = await probe(closed.signal)
        if (met === null) {
          sums.replies++
          nudge.resolve()
          // Not again before the board has heard of it.
          await clock.sleep(PROBE_MS.least, closed.signal)
          return
        }
        missed(met.met)
        await clock.sleep(Math.max(met.afterMs ?? 0, PROBE_MS.least + waitMs * random()), closed.signal)
        if (!seat.state.away || !seat.view?.prober || seat.view.workers === 0) return
      }
    } catch {
      // Closed.
    } finally {
      probing = false
    }
  }

  function sendBack(): void {
    const { state, view } = seat
    if (!state.away || probe === undefined) return
    const late = waiting.filter(({ sinceMs }) => clock.now() - sinceMs > patienceMs)
    if (late.length === 0) return
    waiting.splice(0, waiting.length, ...waiting.filter(waiter => !late.includes(waiter)))
    const why = `the endpoint is away (${absences.met || view?.away || NO_ANSWER})`
    for (const { refuse } of late) {
      refuse(new ReembedError('ENDPOINT_UNREACHABLE', why, { retry: 'later', afterMs: COME_BACK_MS }))
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
      const { view, state } = seat
      if (view === undefined) return 'not used yet'
      const silent = seat === together ? '' : ', Redis is silent'
      if (state.away) {
        return `${absences.met || view.away || NO_ANSWER}, ${Math.round(view.awayMs / 1000)} s${silent}`
      }
      const limit = Math.floor(Math.min(state.limit, seat.most()))
      const fleet = view.workers > 1 ? `, shared by ${view.workers} workers` : ''
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
      steering ??= steer()
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
      if (together.view === undefined) return
      const leaving = { worker, demand: false, sums: noSums(), peak: 0, canProbe: false }
      await meet(together, leaving).catch(() => {})
    },
  }
}

/**
 * How many of `asked` inputs may go now; 0 to wait. A share goes out as many requests rather than few: behind a
 * balancer that knows nothing, N requests keep M replicas busy for about N / (N + M - 1) of the time.
 */
function partOf(
  { inputs, whole }: Pick<Waiter, 'inputs' | 'whole'>,
  limit: number,
  inFlight: number,
  requests: number,
): number {
  const wanted = Math.min(inputs, Math.max(CRUMB, Math.floor(limit / requests)))
  const room = limit - inFlight
  if (wanted <= room) return wanted
  // What does not fit whole goes in part, where a few requests make up the share: so it is used to the last input.
  const least = whole ? Math.min(limit, wanted) : Math.ceil(Math.min(CRUMB, limit / CRUMB))
  return limit < WHOLE * wanted && room >= least ? Math.max(0, room) : 0
}

const noSums = (): { -readonly [Key in keyof Sums]: Sums[Key] } => ({
  replies: 0,
  inputs: 0,
  refusals: 0,
  absences: 0,
  queueMs: 0,
  inferenceMs: 0,
})
