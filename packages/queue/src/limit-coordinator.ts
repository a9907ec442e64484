// Where the workers that use one endpoint meet: twice a second each says what it saw, and hears how many they are,
// what the limit is, and whether it is its turn to move the limit. The board adds up and takes turns; how the limit
// moves is decided by a worker, in code that needs no board.
//
//   report(window) ──> view                     every worker, every half second
//                 └──> view.window ──> commit()   one of them, once per window: here is the new state
//
// Any report or commit may be lost: the next one mends it. Nothing here is ever needed to be right, only to be fair.

/** What replies showed since the last report. Sums of whole numbers, so that those of several workers add up. */
export interface WindowSums {
  /** Requests answered, and the inputs in them. */
  readonly replies: number
  readonly inputs: number
  /** Requests refused or lost to overload. */
  readonly refusals: number
  /** Requests that met no endpoint: scaled to zero, refused connection, a proxy with nothing behind it. */
  readonly unavailable: number
  /** Summed over replies. */
  readonly queueMs: number
  readonly inferenceMs: number
}

export interface MemberReport {
  readonly worker: string
  /** False when the worker has nothing to send: its share goes to the others. */
  readonly hasDemand: boolean
  readonly sums: WindowSums
  /** Most inputs in flight at once since the last report. */
  readonly peakInFlight: number
  /** What this worker last knew, for a board that knows nothing (new, or Redis was emptied). */
  readonly lastCommit: Commit
  /** Willing to look whether an endpoint that is away is back. */
  readonly canProbe: boolean
}

export interface Commit {
  /** JSON; what it means is the workers' business. */
  readonly state: unknown
  /** Why the endpoint answers nobody, or null when it is there. */
  readonly unavailable: string | null
}

export interface LimitView extends Commit {
  /** Workers with demand, heard of in the last seconds, and this one's place among them, from 0. */
  readonly members: number
  readonly memberIndex: number
  /** Grows with each step. */
  readonly round: number
  /** For how long the endpoint has been away. */
  readonly unavailableMs: number
  /** This worker alone shall look whether the endpoint is back. */
  readonly isProber: boolean
  /** Given to one worker per window: all sums since the last step. It answers with `commit(round, ...)`. */
  readonly window: (WindowSums & { readonly ms: number; readonly peakInFlight: number }) | null
}

export interface LimitCoordinator extends AsyncDisposable {
  /** @throws whatever keeps the board from answering within a second. */
  report(report: MemberReport): Promise<LimitView>
  /** Refused without a word if another step began meanwhile. */
  commit(round: number, commit: Commit): Promise<void>
}

export interface LimitCoordinatorOptions {
  /** A step needs this much time, unless the endpoint is back... */
  readonly windowMs?: number
  /** ...and this many outcomes, or it would follow noise. */
  readonly minOutcomes?: number
  /** A worker not heard of for this long is gone; so is a prober. */
  readonly memberTtlMs?: number
}

export const LIMIT_COORDINATOR_DEFAULTS = { windowMs: 500, minOutcomes: 4, memberTtlMs: 5_000 } as const

const nobody = { worker: '', until: Number.NEGATIVE_INFINITY }
const NO_SUMS: WindowSums = { replies: 0, inputs: 0, refusals: 0, unavailable: 0, queueMs: 0, inferenceMs: 0 }

/** A coordinator in memory: for one worker without Redis, and for simulated fleets. */
export function createLimitCoordinator({
  now,
  windowMs = LIMIT_COORDINATOR_DEFAULTS.windowMs,
  minOutcomes = LIMIT_COORDINATOR_DEFAULTS.minOutcomes,
  memberTtlMs = LIMIT_COORDINATOR_DEFAULTS.memberTtlMs,
}: LimitCoordinatorOptions & {
  /** Milliseconds; never goes back. */
  readonly now: () => number
}): LimitCoordinator {
  const members = new Map<string, { until: number; peakInFlight: number }>()
  let last: Commit | undefined
  let unavailableSince = 0
  let sums: WindowSums = NO_SUMS
  let steppedAt = now()
  let round = 0
  let prober = nobody

  function accept(commit: Commit): void {
    if (commit.unavailable !== null && (last?.unavailable ?? null) === null) unavailableSince = now()
    if (commit.unavailable === null) prober = nobody
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
    // Who looks knows best why.
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
        memberIndex: [...members.keys()].filter(name => name < report.worker).length,
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
