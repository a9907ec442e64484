// Where a worker stands at a board: what it last heard there, and how it answers when it is its
// turn to move the limit.

import type { Commit, LimitCoordinator, LimitView, MemberReport } from '@reembed/queue'
import { type LimitState, parseState, step } from './step.ts'

export interface LimitMember {
  readonly state: LimitState
  /** Undefined until the board was heard of. */
  readonly view: LimitView | undefined
  /**
   * This worker's part of the limit. The remainder goes round, so that over time all have the same.
   */
  readonly share: number
  /** @throws whatever keeps the board from answering. */
  exchange(report: Omit<MemberReport, 'lastCommit'>): Promise<void>
}

export interface LimitMemberOptions {
  readonly coordinator: LimitCoordinator
  readonly start: LimitState
  readonly min: number
  /** Never more than this, whatever the state says. */
  readonly max: () => number
  /** What to begin with. */
  readonly initial: () => number
  /** Why the endpoint answers nobody, as far as this worker knows; '' if it does not. */
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
      const workers = Math.max(1, view.members)
      const hasRemainder = (view.memberIndex + view.round) % workers < limit % workers
      return Math.floor(limit / workers) + (hasRemainder ? 1 : 0)
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
