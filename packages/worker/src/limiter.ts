// How many inputs may be in flight at one endpoint. In inputs, not requests: TEI takes one permit per input and
// refuses a request whole when one is missing.
//
//   acquire(n) ──> permit ──> success(sample)   answered: counts for the next step
//                         ──> ignore()          says nothing about load (abort, bad input)
//                         ──> dropped()         refused or lost to overload: back off
//
// The algorithm is a pure step over what half a second of replies showed. It is steered by the time inputs wait in
// the server's queue, and refusals only correct it: a server that refuses spends its CPU on refusing.

/** What the replies of one window showed. Sums, so that windows of several workers can be added up. */
export interface Window {
  readonly ms: number
  readonly replies: number
  readonly refusals: number
  /** Inputs answered. */
  readonly inputs: number
  readonly queueMs: number
  readonly inferenceMs: number
  /** Most inputs in flight at once. */
  readonly peak: number
}

export interface LimitState {
  /** Inputs in flight, not rounded. */
  readonly limit: number
  /** Where the present growth began, to see whether it brought anything. */
  readonly growth: { readonly limit: number; readonly rate: number; readonly windows: number } | null
  /** Windows to go without growing, after growth that brought nothing. */
  readonly hold: number
}

export interface Bounds {
  readonly min: number
  readonly max: number
}

export const initialState = (limit: number): LimitState => ({ limit, growth: null, hold: 0 })

const GROWTH_WINDOWS = 3
const HOLD_WINDOWS = 20

/** The limit after a window. Pure; always within `bounds`. */
export function step(state: LimitState, window: Window, { min, max }: Bounds): LimitState {
  const { limit, growth } = state
  const { replies, refusals, inputs, ms } = window
  const hold = Math.max(0, state.hold - 1)
  const to = (next: number): number => Math.min(max, Math.max(min, next))
  const calm = (next: number): LimitState => ({ limit: to(next), growth: null, hold })

  if (replies === 0) return refusals === 0 ? state : calm(limit / 2)
  const refused = refusals / (replies + refusals)
  if (refused > 0.03) return calm(limit * Math.max(0.7, 1 - refused))

  const queue = window.queueMs / replies
  // A queue of a few model runs keeps the GPU busy; more only adds waiting.
  const target = Math.min(1000, Math.max(150, (5 * window.inferenceMs) / replies))
  if (queue > target) return calm(limit * Math.max(0.75, 1 - (0.3 * (queue - target)) / target))

  // Never grow what was not used: idle windows would drive the limit to its maximum unseen.
  if (window.peak < 0.8 * limit || hold > 0) return { ...state, growth: null, hold }

  const rate = inputs / ms
  if (growth && growth.windows >= GROWTH_WINDOWS && rate < growth.rate * 1.05) {
    return { limit: to(growth.limit), growth: null, hold: HOLD_WINDOWS }
  }
  // A request larger than the limit went alone: growth from below it would change nothing that anyone could see.
  const base = Math.max(limit, window.peak)
  const next = to(queue < target / 3 ? base * 1.5 : base + Math.max(1, 0.1 * base) * (1 - queue / target))
  if (next <= limit) return { limit: next, growth: null, hold }
  const began = growth && growth.windows < GROWTH_WINDOWS ? growth : { limit, rate, windows: 0 }
  return { limit: next, growth: { ...began, windows: began.windows + 1 }, hold }
}

/** What an answered request tells about load. Null where the server does not say. */
export interface Sample {
  readonly queueMs: number | null
  readonly inferenceMs: number | null
  readonly totalMs: number
}

/** Inputs in flight. The first ending counts, later ones do nothing; leaving its scope without one ignores it. */
export interface Permit extends Disposable {
  success(sample: Sample): void
  ignore(): void
  dropped(): void
}

export interface Limiter {
  /** Inputs that may be in flight now, and those that are. */
  readonly limit: number
  readonly inFlight: number
  /** Waits its turn, first come first served. More than the limit is granted when nothing else is in flight. */
  acquire(inputs: number, signal?: AbortSignal): Promise<Permit>
}

export interface LimiterOptions {
  readonly min?: number
  readonly max: number
  readonly initial?: number
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number
  /** How much of the endpoint's limit is this worker's. */
  readonly share?: (limit: number) => number
}

/** A step needs this much time and this many endings, or it would follow noise. */
const WINDOW_MS = 500
const WINDOW_ENDINGS = 4

interface Waiter {
  readonly inputs: number
  readonly grant: (permit: Permit) => void
}

export function createLimiter({
  min = 1,
  max,
  initial = 64,
  now = () => performance.now(),
  share = limit => limit,
}: LimiterOptions): Limiter {
  const bounds = { min, max: Math.max(min, max) }
  const waiting: Waiter[] = []
  let state = initialState(Math.min(bounds.max, Math.max(min, initial)))
  let inFlight = 0
  let fastest = Number.POSITIVE_INFINITY
  let began = now()
  let sums = emptyWindow(0)

  const limit = (): number => Math.max(min, Math.floor(share(state.limit)))

  function pump(): void {
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      if (inFlight > 0 && inFlight + next.inputs > limit()) return
      waiting.shift()
      next.grant(take(next.inputs))
    }
  }

  function take(inputs: number): Permit {
    inFlight += inputs
    sums.peak = Math.max(sums.peak, inFlight)
    let ended = false
    const end = (count?: () => void): void => {
      if (ended) return
      ended = true
      inFlight -= inputs
      count?.()
      advance()
      pump()
    }
    return {
      success: sample => end(() => answered(inputs, sample)),
      ignore: () => end(),
      dropped: () => end(() => sums.refusals++),
      [Symbol.dispose]: () => end(),
    }
  }

  function answered(inputs: number, { queueMs, inferenceMs, totalMs }: Sample): void {
    // Without the server's own times, what a request takes beyond the fastest one is taken as waiting. The fastest
    // is slowly forgotten, since texts and servers change.
    fastest = Math.min(fastest * 1.001, totalMs)
    sums.replies++
    sums.inputs += inputs
    sums.queueMs += queueMs ?? totalMs - fastest
    sums.inferenceMs += inferenceMs ?? fastest
  }

  function advance(): void {
    const ms = now() - began
    if (ms < WINDOW_MS || sums.replies + sums.refusals < WINDOW_ENDINGS) return
    state = step(state, { ...sums, ms }, bounds)
    began += ms
    sums = emptyWindow(inFlight)
  }

  return {
    get limit() {
      return limit()
    },
    get inFlight() {
      return inFlight
    },
    async acquire(inputs, signal) {
      signal?.throwIfAborted()
      const { promise, resolve, reject } = Promise.withResolvers<Permit>()
      const waiter: Waiter = { inputs, grant: resolve }
      const leave = (): void => {
        const place = waiting.indexOf(waiter)
        if (place >= 0) waiting.splice(place, 1)
        reject(signal?.reason)
        // Whoever stood behind may fit now.
        pump()
      }
      signal?.addEventListener('abort', leave, { once: true })
      waiting.push(waiter)
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
  }
}

const emptyWindow = (
  peak: number,
): {
  peak: number
  replies: number
  refusals: number
  inputs: number
  queueMs: number
  inferenceMs: number
} => ({
  peak,
  replies: 0,
  refusals: 0,
  inputs: 0,
  queueMs: 0,
  inferenceMs: 0,
})
