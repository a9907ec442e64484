// A worker as a member of a limit coordinator: its last view, and the step of the limit when the
// coordinator elects it.

import type { Commit, LimitCoordinator, LimitView, MemberReport } from '@reembed/queue'
import { type LimitState, parseState, step } from './step.ts'

export interface LimitMember {
  readonly state: LimitState
  /** Undefined before the first exchange. */
  readonly view: LimitView | undefined
  /**
   * This worker's part of the limit. The remainder rotates, so that all have the same over time.
   */
  readonly share: number
  /** Reports to the coordinator and reads its view. @throws the error of the coordinator */
  exchange(report: Omit<MemberReport, 'lastCommit'>): Promise<void>
}

export interface LimitMemberOptions {
  readonly coordinator: LimitCoordinator
  readonly start: LimitState
  readonly min: number
  /** Upper bound of the limit, whatever the state holds. */
  readonly max: () => number
  /** Limit before the first reply. */
  readonly initial: () => number
  /** Why the endpoint is unavailable, as known to this worker; '' if unknown. */
  readonly unavailableReason: () => string
}

export const NOT_PROBED_YET = 'not probed yet'

export function createLimitMember({
  coordinator,
  start,
  min,
  max,
  initial,
  unavailableReason,
}: LimitMemberOptions): LimitMember {
  let state = start
  let view: LimitView | undefined

  const commitOf = (state: LimitState): Commit => ({
    state,
    unavailable: state.isUnavailable ? unavailableReason() || view?.unavailable || NOT_PROBED_YET : null,
  })

  return {
    get state() {
      return state
    },
    get view() {
      return view
    },
    get share() {
      if (view === undefined) return 0
      const limit = Math.floor(Math.min(state.limit ?? initial(), max()))
      const { part, parts, round } = view
      const hasRemainder = (part + round) % parts < limit % parts
      return Math.floor(limit / parts) + (hasRemainder ? 1 : 0)
    },
    async exchange(report) {
      const heard = await coordinator.report({ ...report, lastCommit: commitOf(state) })
      const before = parseState(heard.state) ?? state
      const after = heard.window ? step(before, heard.window, { min, max: max(), start: initial() }) : before
      if (heard.window) await coordinator.commit(heard.round, commitOf(after))
      state = after
      view = heard
    },
  }
}
