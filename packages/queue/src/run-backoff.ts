// Which runs a worker leaves alone for a while. Runs of a queue take turns, job by job. A run whose
// model or corpus is unavailable would take every other pick for an attempt that fails after
// seconds, for each of its jobs. So after a failure that is no fault of the job, the worker takes
// no job of that run until a delay is over, then a single one. Pure, except for the clock.

export interface RunBackoff {
  /** Keys of the runs that the worker must not take a job of now. */
  readonly skipped: readonly string[]
  started(run: string): void
  /**
   * Records progress of a job, or its end for another cause. Returns whether the run was blocked.
   */
  passed(run: string): boolean
  /** Records a failure of the worker or a dependency. Returns the delay in milliseconds. */
  blocked(run: string, delayMs: number): number
}

/** Longest delay that repeated failures reach. A longer delay of the failure itself counts. */
const MAX_MS = 30_000
/** A run of which no job came back for this long has ended. */
const FORGET_MS = 10 * 60_000

/** @param now a monotonic clock in milliseconds */
export function createRunBackoff(now: () => number = () => performance.now()): RunBackoff {
  interface Block {
    delayMs: number
    /** Infinity while its single job is in progress. */
    untilMs: number
  }
  const blocks = new Map<string, Block>()
  return {
    get skipped() {
      return [...blocks].filter(([, { untilMs }]) => untilMs > now()).map(([run]) => run)
    },
    started(run) {
      const block = blocks.get(run)
      if (block) block.untilMs = Number.POSITIVE_INFINITY
    },
    passed: run => blocks.delete(run),
    blocked(run, delayMs) {
      for (const [key, { untilMs }] of blocks) if (untilMs < now() - FORGET_MS) blocks.delete(key)
      const before = blocks.get(run)
      // Jobs that were in progress together fail together: that is one failure.
      const isRepeated = before?.untilMs === Number.POSITIVE_INFINITY
      const grown = isRepeated ? Math.min(2 * before.delayMs, MAX_MS) : (before?.delayMs ?? 0)
      const block = { delayMs: Math.max(delayMs, grown), untilMs: 0 }
      block.untilMs = now() + block.delayMs
      blocks.set(run, block)
      return block.delayMs
    },
  }
}
