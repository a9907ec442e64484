// Three things that BullMQ does not tell. A lock that could not be renewed because Redis does not answer: nobody is
// told, and the job may by now be another worker's. A fetch that never comes back although jobs are waiting: the
// worker looks alive and does nothing. And a job that stands still: as long as its lock is renewed, nobody misses it.
// Pure bookkeeping; consume.ts asks it now and then.

export interface JobMonitor {
  started(id: string): void
  renewed(ids: readonly string[]): void
  /** A job got on. */
  progressed(id: string): void
  ended(id: string): void
  /** Jobs whose lock has surely run out. Each is named once. */
  lostLocks(): string[]
  /** Jobs that have not got on for too long. Each is named once, and again when it stood still once more. */
  withoutProgress(): string[]
  /** Whether nothing was fetched for too long, given how many jobs wait. */
  isNotFetching(waiting: number): boolean
}

export interface JobMonitorOptions {
  readonly lockMs: number
  readonly notFetchingMs: number
  readonly noProgressMs: number
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number
}

export function createJobMonitor({
  lockMs,
  notFetchingMs,
  noProgressMs,
  now = () => performance.now(),
}: JobMonitorOptions): JobMonitor {
  const renewedAt = new Map<string, number>()
  /** Infinity: named since. */
  const progressedAt = new Map<string, number>()
  let running = 0
  /** Since when jobs have been waiting while none was running. */
  let idleSince: number | undefined
  return {
    started(id) {
      running += 1
      idleSince = undefined
      renewedAt.set(id, now())
      progressedAt.set(id, now())
    },
    renewed(ids) {
      for (const id of ids) if (renewedAt.has(id)) renewedAt.set(id, now())
    },
    progressed(id) {
      // What was left behind may go on after its job has ended.
      if (progressedAt.has(id)) progressedAt.set(id, now())
    },
    ended(id) {
      running -= 1
      renewedAt.delete(id)
      progressedAt.delete(id)
    },
    lostLocks() {
      const gone = older(renewedAt, now() - lockMs)
      for (const id of gone) renewedAt.delete(id)
      return gone
    },
    withoutProgress() {
      const ids = older(progressedAt, now() - noProgressMs)
      for (const id of ids) progressedAt.set(id, Number.POSITIVE_INFINITY)
      return ids
    },
    isNotFetching(waiting) {
      if (waiting === 0 || running > 0) {
        idleSince = undefined
        return false
      }
      idleSince ??= now()
      return now() - idleSince >= notFetchingMs
    },
  }
}

const older = (times: ReadonlyMap<string, number>, than: number): string[] =>
  [...times].filter(([, at]) => at < than).map(([id]) => id)
