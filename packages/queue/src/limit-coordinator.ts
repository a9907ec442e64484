// The coordinator of the concurrency limit that all workers of one endpoint share. Twice a second
// each worker reports its observations and receives the number of members, the limit, and whether
// it must compute the next limit. The coordinator only sums and assigns rounds; the workers' code
// decides how the limit moves.
//
//   report(sums) ──> view                        every worker, every half second
//               └──> view.window ──> commit()    one worker per window commits the next state
//
// Any report or commit may be lost; the next one corrects the state. Correctness never depends on
// the coordinator, only fairness does.

/**
 * Observations since the last report: sums of integers, which the coordinator adds up over workers.
 */
export interface WindowSums {
  /** Requests answered, and the inputs in them. */
  readonly replies: number
  readonly inputs: number
  /** Requests that failed because of overload. */
  readonly refusals: number
  /**
   * Requests that found no endpoint: scaled to zero, connection refused, or a proxy without an
   * upstream.
   */
  readonly unavailable: number
  /** Summed over replies. */
  readonly queueMs: number
  readonly inferenceMs: number
}

/** The report of one worker. */
export interface MemberReport {
  readonly worker: string
  /** False if the worker has nothing to send: then the other members get its share. */
  readonly hasDemand: boolean
  readonly sums: WindowSums
  /** Maximum inputs in flight since the last report. */
  readonly peakInFlight: number
  /**
   * The last state that this worker knows. An empty coordinator (new, or Redis lost its data)
   * adopts it.
   */
  readonly lastCommit: Commit
  /** Whether this worker can probe an unavailable endpoint. */
  readonly canProbe: boolean
}

/** The state that all members share. */
export interface Commit {
  /** JSON. Only the workers interpret it. */
  readonly state: unknown
  /** Why the endpoint is unavailable; null if it is available. */
  readonly unavailable: string | null
}

/** The coordinator's reply to a report. */
export interface LimitView extends Commit {
  /** Number of workers with demand that reported within the TTL. */
  readonly members: number
  /** This worker's part of the limit is one of `parts` equal parts: that with the index `part`. */
  readonly parts: number
  readonly part: number
  /** Number of the current round; increases with each closed window. */
  readonly round: number
  /** How long the endpoint has been unavailable. */
  readonly unavailableMs: number
  /** Whether this worker, and no other, must probe the unavailable endpoint. */
  readonly isProber: boolean
  /**
   * Non-null for one worker per window: all sums since the last window. That worker must call
   * `commit(round, ...)`.
   */
  readonly window: (WindowSums & { readonly ms: number; readonly peakInFlight: number }) | null
}

/** Coordinates the limit of one endpoint. */
export interface LimitCoordinator extends AsyncDisposable {
  /**
   * Reports and returns the shared state. @throws an error if the coordinator does not answer
   * within a second
   */
  report(report: MemberReport): Promise<LimitView>
  /** Commits the state of a round. Has no effect if a later round has begun. */
  commit(round: number, commit: Commit): Promise<void>
}

export interface LimitCoordinatorOptions {
  /** Minimum duration of a window in milliseconds, unless the endpoint becomes available. */
  readonly windowMs?: number
  /** Minimum number of outcomes in a window, so that the limit does not follow noise. */
  readonly minOutcomes?: number
  /** A member or a prober without a report for this long is removed. */
  readonly memberTtlMs?: number
}

export const LIMIT_COORDINATOR_DEFAULTS = { windowMs: 500, minOutcomes: 4, memberTtlMs: 5_000 } as const

const NO_PROBER = { worker: '', until: Number.NEGATIVE_INFINITY }
const NO_SUMS: WindowSums = { replies: 0, inputs: 0, refusals: 0, unavailable: 0, queueMs: 0, inferenceMs: 0 }

/** A coordinator in memory: for one worker without Redis, and for simulated fleets. */
export function createLimitCoordinator({
  now,
  windowMs = LIMIT_COORDINATOR_DEFAULTS.windowMs,
  minOutcomes = LIMIT_COORDINATOR_DEFAULTS.minOutcomes,
  memberTtlMs = LIMIT_COORDINATOR_DEFAULTS.memberTtlMs,
}: LimitCoordinatorOptions & {
  /** A monotonic clock in milliseconds. */
  readonly now: () => number
}): LimitCoordinator {
  const members = new Map<string, { until: number; peakInFlight: number }>()
  let last: Commit | undefined
  let unavailableSince = 0
  let sums: WindowSums = NO_SUMS
  let steppedAt = now()
  let round = 0
  let prober = NO_PROBER

  function accept(commit: Commit): void {
    if (commit.unavailable !== null && (last?.unavailable ?? null) === null) unavailableSince = now()
    if (commit.unavailable === null) prober = NO_PROBER
    last = commit
  }

  function updateMembers({ worker, hasDemand, peakInFlight }: MemberReport): void {
    for (const [name, { until }] of members) if (until <= now()) members.delete(name)
    if (hasDemand) members.set(worker, { until: now() + memberTtlMs, peakInFlight })
    else members.delete(worker)
  }

  function closeWindow(): LimitView['window'] {
    const { replies, refusals, unavailable } = sums
    const isBack = last?.unavailable !== null && replies > 0
    const isUnavailable = last?.unavailable === null && replies === 0 && unavailable > 0
    const enough = isUnavailable || replies + refusals + unavailable >= minOutcomes
    const ms = now() - steppedAt
    if (!isBack && (ms < windowMs || !enough)) return null
    const peaks = [...members.values()].map(({ peakInFlight }) => peakInFlight)
    const window = { ...sums, ms, peakInFlight: peaks.reduce((sum, peak) => sum + peak, 0) }
    sums = NO_SUMS
    steppedAt = now()
    round += 1
    return window
  }

  function mayProbe({ worker, canProbe, lastCommit }: MemberReport): boolean {
    if (last === undefined || last.unavailable === null || !canProbe) return false
    if (prober.worker !== worker && prober.until > now()) return false
    prober = { worker, until: now() + memberTtlMs }
    // The prober has the latest failure reason.
    last = { ...last, unavailable: lastCommit.unavailable ?? last.unavailable }
    return true
  }

  return {
    async report(report) {
      if (last === undefined) accept(report.lastCommit)
      updateMembers(report)
      sums = added(sums, report.sums)
      const window = closeWindow()
      const isProber = mayProbe(report)
      const { state, unavailable } = last ?? report.lastCommit
      return {
        state,
        unavailable,
        unavailableMs: unavailable === null ? 0 : now() - unavailableSince,
        members: members.size,
        parts: Math.max(1, members.size),
        part: [...members.keys()].filter(name => name < report.worker).length,
        round,
        isProber,
        window,
      }
    },
    async commit(ofRound, commit) {
      if (ofRound === round) accept(commit)
    },
    async [Symbol.asyncDispose]() {},
  }
}

const added = (a: WindowSums, b: WindowSums): WindowSums => ({
  replies: a.replies + b.replies,
  inputs: a.inputs + b.inputs,
  refusals: a.refusals + b.refusals,
  unavailable: a.unavailable + b.unavailable,
  queueMs: a.queueMs + b.queueMs,
  inferenceMs: a.inferenceMs + b.inferenceMs,
})
