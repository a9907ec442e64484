// Where a worker stands at a board: what it last heard there, and how it answers when it is its turn to move the limit.

import type { Board, Report, Settlement, View } from '@reembed/queue'
import { type LimitState, parseState, step } from './step.ts'

export interface Seat {
  readonly state: LimitState
  /** Undefined until the board was heard of. */
  readonly view: View | undefined
  /** This worker's part of the limit. The remainder goes round, so that over time all have the same. */
  readonly share: number
  /** @throws whatever keeps the board from answering. */
  meet(report: Omit<Report, 'known'>): Promise<void>
}

export interface SeatOptions {
  readonly board: Board
  readonly start: LimitState
  readonly min: number
  /** Never more than this, whatever the state says. */
  readonly most: () => number
  /** What to begin with. */
  readonly first: () => number
  /** Why the endpoint answers nobody, as far as this worker knows; '' if it does not. */
  readonly met: () => string
}

export const NO_ANSWER = 'not looked at yet'

export function takeSeat({ board, start, min, most, first, met }: SeatOptions): Seat {
  let state = start
  let view: View | undefined

  const settlement = (state: LimitState): Settlement => ({
    state,
    away: state.away ? met() || view?.away || NO_ANSWER : null,
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
      const limit = Math.floor(Math.min(state.limit ?? first(), most()))
      const workers = Math.max(1, view.workers)
      const lucky = (view.place + view.turn) % workers < limit % workers
      return Math.floor(limit / workers) + (lucky ? 1 : 0)
    },
    async meet(report) {
      const heard = await board.report({ ...report, known: settlement(state) })
      const before = parseState(heard.state) ?? state
      const after = heard.step ? step(before, heard.step, { min, max: most(), start: first() }) : before
      if (heard.step) await board.settle(heard.turn, settlement(after))
      state = after
      view = heard
    },
  }
}
