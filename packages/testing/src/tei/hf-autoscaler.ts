// The autoscaling rule of HF Inference Endpoints (guides/autoscaling.md of their documentation).
// The measure is the number of requests without an HTTP status, averaged over 20 s, divided by 1.5
// per replica. Scales up at most once a minute; scales down at most every two minutes, and only to
// a number that sufficed throughout the last 300 s. Pure functions.

/** Interval at which the endpoint calls `autoscale`. */
export const SAMPLE_MS = 5_000
const SAMPLES = 4
const UP_EVERY_MS = 60_000
const DOWN_EVERY_MS = 120_000
const STABLE_MS = 300_000

export interface Scaling {
  /** Default 0. */
  readonly minReplica: number
  /** Default 1. */
  readonly maxReplica: number
  /**
   * Scales to zero after this time without a request; null: never. HF allows 15 to 2880 minutes.
   */
  readonly scaleToZeroMs: number | null
  /** Target of requests without a status per replica. Default 1.5, as on HF. */
  readonly pendingRequests: number
}

export interface ScalerState {
  readonly target: number
  readonly pending: readonly number[]
  readonly wanted: readonly { readonly atMs: number; readonly replicas: number }[]
  readonly changedUpMs: number
  readonly changedDownMs: number
}

export const initialScaler = (target: number, nowMs: number): ScalerState => ({
  target,
  pending: [],
  wanted: [],
  changedUpMs: Number.NEGATIVE_INFINITY,
  changedDownMs: nowMs,
})

export interface ScalerSample {
  readonly nowMs: number
  readonly pending: number
  readonly idleMs: number
}

export function autoscale(
  state: ScalerState,
  { nowMs, pending, idleMs }: ScalerSample,
  scaling: Scaling,
): ScalerState {
  const { target } = state
  // Only a request scales up from zero.
  if (target === 0) return state
  const samples = [...state.pending, pending].slice(-SAMPLES)
  const mean = samples.reduce((sum, sample) => sum + sample, 0) / samples.length
  const least = Math.max(1, scaling.minReplica)
  const replicas = Math.min(scaling.maxReplica, Math.max(least, Math.ceil(mean / scaling.pendingRequests)))
  const wanted = [...state.wanted, { atMs: nowMs, replicas }].filter(({ atMs }) => nowMs - atMs <= STABLE_MS)
  const next = { ...state, pending: samples, wanted }

  if (scaling.scaleToZeroMs !== null && scaling.minReplica === 0 && idleMs >= scaling.scaleToZeroMs) {
    return { ...next, target: 0, wanted: [], pending: [], changedDownMs: nowMs }
  }
  if (replicas > target && samples.length === SAMPLES && nowMs - state.changedUpMs >= UP_EVERY_MS) {
    return { ...next, target: replicas, changedUpMs: nowMs }
  }
  const enough = Math.max(...wanted.map(({ replicas }) => replicas))
  if (enough < target && nowMs - Math.max(state.changedDownMs, state.changedUpMs) >= DOWN_EVERY_MS) {
    const stable = wanted[0] !== undefined && nowMs - wanted[0].atMs >= STABLE_MS - SAMPLE_MS
    if (stable) return { ...next, target: enough, changedDownMs: nowMs }
  }
  return next
}
