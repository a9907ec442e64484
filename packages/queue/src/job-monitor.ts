// Detects three conditions that BullMQ does not report: a lock that was not renewed because Redis
// does not answer, so that another worker may run the job; a fetch that never returns although jobs
// wait; and a job without progress whose lock is renewed. It only keeps timestamps; consume.ts
// polls it.

export interface JobMonitor {
  started(id: string): void
  renewed(ids: readonly string[]): void
  /** Records progress of a job. */
  progressed(id: string): void
  ended(id: string): void
  /** Returns jobs whose lock has expired, each once. */
  lostLocks(): string[]
  /**
   * Returns jobs without progress for `noProgressMs`: each once, and again after further progress.
   */
  withoutProgress(): string[]
  /** Whether `waiting` jobs have waited for `notFetchingMs` while none was running. */
  isNotFetching(waiting: number): boolean
}

export interface JobMonitorOptions {
  readonly lockMs: number
  readonly notFetchingMs: number
  readonly noProgressMs: number
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number
}

export function createJobMonitor({
  lockMs,
  notFetchingMs,
  noProgressMs,
  now = () => performance.now(),
}: JobMonitorOptions): JobMonitor {
  const renewedAt = new Map<string, number>()
  /** Infinity: already reported. */
  const progressedAt = new Map<string, number>()
  let running = 0
  /** Start of the time in which jobs wait while none is running. */
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
      // An abandoned handler may report progress after its job has ended.
      if (progressedAt.has(id)) progressedAt.set(id, now())
    },
    ended(id) {
      running -= 1
      renewedAt.delete(id)
      progressedAt.delete(id)
    },
    lostLocks() {
      const expired = older(renewedAt, now() - lockMs)
      for (const id of expired) renewedAt.delete(id)
      return expired
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
