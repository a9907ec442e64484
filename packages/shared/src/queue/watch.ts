// Two things that BullMQ does not tell. A lock that could not be renewed because Redis does not answer: nobody is
// told, and the job may by now be another worker's. And a fetch that never comes back although jobs are waiting: the
// worker looks alive and does nothing. Pure bookkeeping; consume.ts asks it now and then.

export interface Watch {
  taken(id: string): void
  renewed(ids: readonly string[]): void
  ended(id: string): void
  /** Jobs whose lock has surely run out. Each is named once. */
  lost(): string[]
  /** Whether nothing was fetched for too long, given how many jobs wait. */
  stuck(waiting: number): boolean
}

export interface WatchOptions {
  readonly lockMs: number
  readonly stuckMs: number
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number
}

export function createWatch({ lockMs, stuckMs, now = () => performance.now() }: WatchOptions): Watch {
  const renewedAt = new Map<string, number>()
  let running = 0
  /** Since when jobs have been waiting while none was running. */
  let idleSince: number | undefined
  return {
    taken(id) {
      running += 1
      idleSince = undefined
      renewedAt.set(id, now())
    },
    renewed(ids) {
      for (const id of ids) if (renewedAt.has(id)) renewedAt.set(id, now())
    },
    ended(id) {
      running -= 1
      renewedAt.delete(id)
    },
    lost() {
      const gone = [...renewedAt].filter(([, at]) => now() - at > lockMs).map(([id]) => id)
      for (const id of gone) renewedAt.delete(id)
      return gone
    },
    stuck(waiting) {
      if (waiting === 0 || running > 0) {
        idleSince = undefined
        return false
      }
      idleSince ??= now()
      return now() - idleSince >= stuckMs
    },
  }
}
