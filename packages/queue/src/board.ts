// Where the workers that use one endpoint meet: twice a second each says what it saw, and hears how many they are,
// what the limit is, and whether it is its turn to move the limit. The board adds up and takes turns; how the limit
// moves is decided by a worker, in code that needs no board.
//
//   report(window) ──> view                     every worker, every half second
//                 └──> view.step ──> settle()   one of them, once per window: here is the new state
//
// Any report or settlement may be lost: the next one mends it. Nothing here is ever needed to be right, only to be fair.

/** What replies showed since the last report. Sums of whole numbers, so that those of several workers add up. */
export interface Sums {
  /** Requests answered, and the inputs in them. */
  readonly replies: number
  readonly inputs: number
  /** Requests refused or lost to overload. */
  readonly refusals: number
  /** Requests that met no endpoint: scaled to zero, refused connection, a proxy with nothing behind it. */
  readonly absences: number
  /** Summed over replies. */
  readonly queueMs: number
  readonly inferenceMs: number
}

export interface Report {
  readonly worker: string
  /** False when the worker has nothing to send: its share goes to the others. */
  readonly demand: boolean
  readonly sums: Sums
  /** Most inputs in flight at once since the last report. */
  readonly peak: number
  /** What this worker last knew, for a board that knows nothing (new, or Redis was emptied). */
  readonly known: Settlement
  /** Willing to look whether an endpoint that is away is back. */
  readonly canProbe: boolean
}

export interface Settlement {
  /** JSON; what it means is the workers' business. */
  readonly state: unknown
  /** Why the endpoint answers nobody, or null when it is there. */
  readonly away: string | null
}

export interface View extends Settlement {
  /** Workers with demand, heard of in the last seconds, and this one's place among them, from 0. */
  readonly workers: number
  readonly place: number
  /** Grows with each step. */
  readonly turn: number
  /** For how long the endpoint has been away. */
  readonly awayMs: number
  /** This worker alone shall look whether the endpoint is back. */
  readonly prober: boolean
  /** Given to one worker per window: all sums since the last step. It answers with `settle(turn, ...)`. */
  readonly step: (Sums & { readonly ms: number; readonly peak: number }) | null
}

export interface Board extends AsyncDisposable {
  /** @throws whatever keeps the board from answering within a second. */
  report(report: Report): Promise<View>
  /** Refused without a word if another step began meanwhile. */
  settle(turn: number, settlement: Settlement): Promise<void>
}

export interface BoardOptions {
  /** A step needs this much time, unless the endpoint is back... */
  readonly windowMs?: number
  /** ...and this many endings, or it would follow noise. */
  readonly endings?: number
  /** A worker not heard of for this long is gone; so is a prober. */
  readonly expiryMs?: number
}

export const BOARD_DEFAULTS = { windowMs: 500, endings: 4, expiryMs: 5_000 } as const

const nobody = { worker: '', until: Number.NEGATIVE_INFINITY }
const NO_SUMS: Sums = { replies: 0, inputs: 0, refusals: 0, absences: 0, queueMs: 0, inferenceMs: 0 }

/** A board in memory: for one worker without Redis, and for simulated fleets. */
export function createBoard({
  now,
  windowMs = BOARD_DEFAULTS.windowMs,
  endings = BOARD_DEFAULTS.endings,
  expiryMs = BOARD_DEFAULTS.expiryMs,
}: BoardOptions & {
  /** Milliseconds; never goes back. */
  readonly now: () => number
}): Board {
  const members = new Map<string, { until: number; peak: number }>()
  let settled: Settlement | undefined
  let awaySince = 0
  let sums: Sums = NO_SUMS
  let steppedAt = now()
  let turn = 0
  let prober = nobody

  function know(settlement: Settlement): void {
    if (settlement.away !== null && (settled?.away ?? null) === null) awaySince = now()
    if (settlement.away === null) prober = nobody
    settled = settlement
  }

  function meet({ worker, demand, peak }: Report): void {
    for (const [name, { until }] of members) if (until <= now()) members.delete(name)
    if (demand) members.set(worker, { until: now() + expiryMs, peak })
    else members.delete(worker)
  }

  function elect(): View['step'] {
    const { replies, refusals, absences } = sums
    const isBack = settled?.away !== null && replies > 0
    const isGone = settled?.away === null && replies === 0 && absences > 0
    const enough = isGone || replies + refusals + absences >= endings
    const ms = now() - steppedAt
    if (!isBack && (ms < windowMs || !enough)) return null
    const step = { ...sums, ms, peak: [...members.values()].reduce((sum, { peak }) => sum + peak, 0) }
    sums = NO_SUMS
    steppedAt = now()
    turn += 1
    return step
  }

  function mayProbe({ worker, canProbe, known }: Report): boolean {
    if (settled === undefined || settled.away === null || !canProbe) return false
    if (prober.worker !== worker && prober.until > now()) return false
    prober = { worker, until: now() + expiryMs }
    // Who looks knows best why.
    settled = { ...settled, away: known.away ?? settled.away }
    return true
  }

  return {
    async report(report) {
      if (settled === undefined) know(report.known)
      meet(report)
      sums = added(sums, report.sums)
      const step = elect()
      const prober = mayProbe(report)
      const { state, away } = settled ?? report.known
      return {
        state,
        away,
        awayMs: away === null ? 0 : now() - awaySince,
        workers: members.size,
        place: [...members.keys()].filter(name => name < report.worker).length,
        turn,
        prober,
        step,
      }
    },
    async settle(ofTurn, settlement) {
      if (ofTurn === turn) know(settlement)
    },
    async [Symbol.asyncDispose]() {},
  }
}

const added = (a: Sums, b: Sums): Sums => ({
  replies: a.replies + b.replies,
  inputs: a.inputs + b.inputs,
  refusals: a.refusals + b.refusals,
  absences: a.absences + b.absences,
  queueMs: a.queueMs + b.queueMs,
  inferenceMs: a.inferenceMs + b.inferenceMs,
})
