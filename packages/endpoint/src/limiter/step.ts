// How the limit of an endpoint moves: a pure step over what half a second of replies showed, to all
// workers together. It is steered by the time inputs wait in the server's queue, and refusals only
// correct it: a server that refuses spends its CPU on refusing. In inputs, not requests: TEI takes
// one permit per input.

import type { WindowSums } from '@reembed/queue'
import { initialLimit } from './initial-limit.ts'

export interface Window extends WindowSums {
  readonly ms: number
  /** Most inputs in flight at once. */
  readonly peakInFlight: number
}

export interface LimitState {
  /**
   * Inputs in flight, not rounded; null until the first reply: who knows the endpoint says where to
   * begin.
   */
  readonly limit: number | null
  /** Where the present growth began, to see whether it brought anything. */
  readonly growth: { readonly limit: number; readonly rate: number; readonly windows: number } | null
  /**
   * Not growing for this many windows, or until an input clearly takes less than this of the
   * server's time.
   */
  readonly hold: { readonly windows: number; readonly msPerInput: number } | null
  /** Above this the server refused: beyond it the limit grows in small steps. */
  readonly ceiling: number | null
  /** Nobody answers: send nothing, one worker looks whether it is back. */
  readonly isUnavailable: boolean
}

export interface Bounds {
  readonly min: number
  readonly max: number
  /** The limit of an endpoint that nothing was sent to yet. */
  readonly start: number
}

export const initialState = (limit: number | null, isUnavailable = false): LimitState => ({
  limit,
  growth: null,
  hold: null,
  ceiling: null,
  isUnavailable,
})

/** A queue of a few model runs keeps the GPU busy; more only adds waiting. */
const QUEUE_RUNS = 5
const QUEUE_MS = { least: 250, most: 1_000 } as const
const GROWTH_WINDOWS = 3
const HOLD_WINDOWS = 20
/** Growth that brings less than this was for nothing. */
const GAIN = 1.02
/** Inputs this much quicker are a sign of new capacity. */
const QUICKER = 0.7
const REFUSED = 0.01
/** What an endpoint that was away starts with again, at most: it may come back as any server. */
const RESTART = initialLimit(undefined)

/** The limit after a window. Pure; always within `bounds`. */
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
  // Found by a probe; who did may not know yet what to begin with.
  if (state.limit === null && inputs === 0) return { ...state, isUnavailable: false }
  const queueMs = window.queueMs / replies
  const inferenceMs = window.inferenceMs / replies
  // By Little's law this is one over the throughput, whatever the limit.
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
    // Replies tell of the queue that their inputs met when it was longer: who believes them cuts
    // too deep. With so many in flight they would wait for the target, by Little's law.
    const enough = Math.min(limit, rate * (target + inferenceMs))
    const next = limit * Math.max(0.75, 1 - (0.3 * (queueMs - target)) / target)
    return { ...still, limit: to(Math.max(next, enough)) }
  }
  // Never grow what was not used: idle windows would drive the limit to its maximum unseen.
  if (window.peakInFlight < 0.8 * limit || hold !== null) return still

  if (growth && growth.windows >= GROWTH_WINDOWS && rate < growth.rate * GAIN) {
    // Where nothing queues it is not the server that is busy, but who sends: to go back would only
    // make it wait.
    const next = queueMs < inferenceMs ? limit : Math.sqrt(growth.limit * limit)
    return { ...still, limit: to(next), hold: { windows: HOLD_WINDOWS, msPerInput } }
  }
  // A request larger than the limit went alone: growth from below it would change nothing that
  // anyone could see.
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

/** Reads a state from where anybody may have written it; undefined if it is none. */
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
