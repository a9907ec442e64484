// The control loop of an endpoint's limit: a pure step from the replies that all workers got in
// half a second. The control variable is the time that inputs wait in the server's queue. Refusals
// are only a correction: a server that refuses spends its CPU on refusing. The unit is inputs, not
// requests: TEI takes one permit per input.

import type { WindowSums } from '@reembed/queue'
import { initialLimit } from './initial-limit.ts'

export interface Window extends WindowSums {
  readonly ms: number
  /** Maximum of inputs in flight in the window. */
  readonly peakInFlight: number
}

export interface LimitState {
  /**
   * Inputs in flight, not rounded; null until the first reply, when the caller's start value
   * applies.
   */
  readonly limit: number | null
  /** Limit and rate at the start of the current growth, to measure its gain. */
  readonly growth: { readonly limit: number; readonly rate: number; readonly windows: number } | null
  /**
   * No growth for this many windows, or until the server's time per input falls clearly below this.
   */
  readonly hold: { readonly windows: number; readonly msPerInput: number } | null
  /** Limit at which the server refused; near it the limit grows in small steps. */
  readonly ceiling: number | null
  /** No request is answered: workers send nothing, and one worker probes. */
  readonly isUnavailable: boolean
}

export interface Bounds {
  readonly min: number
  readonly max: number
  /** The limit of an endpoint before its first reply. */
  readonly start: number
}

export const initialState = (limit: number | null, isUnavailable = false): LimitState => ({
  limit,
  growth: null,
  hold: null,
  ceiling: null,
  isUnavailable,
})

/** A queue of a few model runs keeps the GPU busy; a longer one only adds latency. */
const QUEUE_RUNS = 5
const QUEUE_MS = { least: 250, most: 1_000 } as const
const GROWTH_WINDOWS = 3
const HOLD_WINDOWS = 20
/** Minimum ratio of the rates after and before a growth; below it the growth is reverted. */
const GAIN = 1.02
/** A fall of the time per input to this ratio shows new capacity. */
const QUICKER = 0.7
const REFUSED = 0.01
/** Maximum limit after unavailability: the endpoint may return with less capacity. */
const RESTART = initialLimit(undefined)

/** Computes the state after a window. Pure; the limit is always within `bounds`. */
export function step(state: LimitState, window: Window, { min, max, start }: Bounds): LimitState {
  const { growth, ceiling } = state
  const limit = state.limit ?? start
  const { replies, refusals, unavailable, inputs, ms } = window
  const to = (next: number): number => Math.min(max, Math.max(min, next))

  if (replies === 0) {
    if (unavailable > 0)
      return state.isUnavailable ? state : initialState(to(Math.min(limit / 2, RESTART)), true)
    return refusals === 0 ? state : { ...state, limit: to(limit / 2), growth: null }
  }
  // A probe was answered; the prober may not know the start value yet.
  if (state.limit === null && inputs === 0) return { ...state, isUnavailable: false }
  const queueMs = window.queueMs / replies
  const inferenceMs = window.inferenceMs / replies
  // By Little's law this is the inverse of the throughput at any limit.
  const msPerInput = (queueMs + inferenceMs) / limit
  const hold = shorten(state.hold, msPerInput)
  const still: LimitState = { limit: to(limit), growth: null, hold, ceiling, isUnavailable: false }

  const refused = (refusals + unavailable) / (replies + refusals + unavailable)
  if (refused > REFUSED) {
    const next = limit * Math.max(0.7, 1 - 2 * refused)
    return { ...still, limit: to(next), hold: { windows: HOLD_WINDOWS, msPerInput }, ceiling: next }
  }
  const target = Math.min(QUEUE_MS.most, Math.max(QUEUE_MS.least, QUEUE_RUNS * inferenceMs))
  const rate = inputs / Math.max(1, ms)
  if (queueMs > target) {
    // Replies report the queue of the past, when it was longer, so trusting them would reduce the
    // limit too far. By Little's law this many inputs in flight wait for the target.
    const enough = Math.min(limit, rate * (target + inferenceMs))
    const next = limit * Math.max(0.75, 1 - (0.3 * (queueMs - target)) / target)
    return { ...still, limit: to(Math.max(next, enough)) }
  }
  // An unused limit must not grow: idle windows would raise it to the maximum without evidence.
  if (window.peakInFlight < 0.8 * limit || hold !== null) return still

  if (growth && growth.windows >= GROWTH_WINDOWS && rate < growth.rate * GAIN) {
    // Without a queue the workers are the bottleneck, not the server: a lower limit would only add
    // waiting.
    const next = queueMs < inferenceMs ? limit : Math.sqrt(growth.limit * limit)
    return { ...still, limit: to(next), hold: { windows: HOLD_WINDOWS, msPerInput } }
  }
  // A request larger than the limit is sent alone, so growth must start from its size to have an
  // effect.
  const base = Math.max(limit, window.peakInFlight)
  const small = base + Math.max(1, 0.1 * base) * (1 - queueMs / target)
  const large = queueMs < target / 3 ? base * 1.5 : small
  const isPast = ceiling === null || base > 1.5 * ceiling
  const next = to(isPast ? large : Math.max(small, Math.min(large, ceiling)))
  if (next <= limit) return still
  const began = growth && growth.windows < GROWTH_WINDOWS ? growth : { limit, rate, windows: 0 }
  return {
    ...still,
    limit: next,
    growth: { ...began, windows: began.windows + 1 },
    ceiling: isPast ? null : ceiling,
  }
}

function shorten(hold: LimitState['hold'], msPerInput: number): LimitState['hold'] {
  if (hold === null || hold.windows <= 1 || msPerInput < QUICKER * hold.msPerInput) return null
  return { ...hold, windows: hold.windows - 1 }
}

/** Validates a state from Redis; undefined if it is invalid. */
export function parseState(given: unknown): LimitState | undefined {
  const { limit, growth, hold, ceiling, isUnavailable } = record(given)
  const isGrowth = growth === null || areNumbers(record(growth), 'limit', 'rate', 'windows')
  const isHold = hold === null || areNumbers(record(hold), 'windows', 'msPerInput')
  const isState =
    (limit === null || isNumber(limit)) && isGrowth && isHold && (ceiling === null || isNumber(ceiling))
  return isState && typeof isUnavailable === 'boolean' ? (given as LimitState) : undefined
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
const isNumber = (value: unknown): boolean => Number.isFinite(value) && Number(value) >= 0
const areNumbers = (value: Record<string, unknown>, ...names: string[]): boolean =>
  names.every(name => isNumber(value[name]))
