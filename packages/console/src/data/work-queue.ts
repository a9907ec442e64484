// Work that reads whole runs: a comparison, a search. It is made once for all readers of a page,
// one at a time, and only while a page asks for it: each poll of an open page is such a request, so
// that the work of a reader who left ends by itself.

import { messageOf, ReembedError } from '@reembed/shared'

/** What is known about a piece of work. */
export type Work<T> =
  /** It waits for other work, or is in progress. */
  | { readonly state: 'running'; readonly progress: string | undefined }
  /** Too much work waits: nothing was started, and a later request may start it. */
  | { readonly state: 'refused'; readonly message: string }
  | { readonly state: 'failed'; readonly message: string }
  | { readonly state: 'done'; readonly value: T }

export interface WorkQueue<T> {
  /** Starts the work unless it is made or in progress. Never waits for its end. */
  read(key: string, make: (signal: AbortSignal, show: (progress: string) => void) => Promise<T>): Work<T>
}

export interface WorkQueueOptions {
  /**
   * Results that are kept; the oldest is removed first. One that a page asks for stays beyond that
   * number: the page would have it made again at its next poll. MAX_WAITING bounds those.
   */
  readonly kept: number
  /** After this, work that failed is made again; work that was called wrongly (`USAGE`) is not. */
  readonly failedMs: number
  /** Ends all work. */
  readonly signal: AbortSignal
  /** Work without a request for so long is ended. Default 30,000. */
  readonly unwantedMs?: number | undefined
  readonly now?: (() => number) | undefined
}

/** Pieces of work that may wait, beside the one in progress. */
export const MAX_WAITING = 10
/** Six polls of an open page. */
const UNWANTED_MS = 30_000

interface Open {
  readonly stop: AbortController
  /** Ends the work; each request delays that. */
  readonly unwanted: NodeJS.Timeout
  progress: string | undefined
}

interface Ended<T> {
  readonly work: Work<T>
  readonly untilMs: number
  /** When a page last asked for it. */
  askedMs: number
}

export function createWorkQueue<T>({
  kept,
  failedMs,
  signal,
  unwantedMs = UNWANTED_MS,
  now = Date.now,
}: WorkQueueOptions): WorkQueue<T> {
  const open = new Map<string, Open>()
  const ended = new Map<string, Ended<T>>()
  let last: Promise<void> = Promise.resolve()

  function end(key: string, work: Work<T>, untilMs: number): void {
    ended.delete(key)
    ended.set(key, { work, untilMs, askedMs: now() })
    for (const [oldest, result] of ended) if (ended.size > kept && !isWanted(result)) ended.delete(oldest)
  }

  const isWanted = ({ askedMs }: Ended<T>): boolean => now() - askedMs < unwantedMs

  function refusalNow(): string | undefined {
    const others = 'searches or comparisons of other readers'
    if (open.size > MAX_WAITING) return `${MAX_WAITING} ${others} wait already: try again in a minute`
    const wanted = Array.from(ended.values()).filter(isWanted).length
    if (open.size + wanted <= kept + MAX_WAITING) return undefined
    return `${wanted} ${others} are shown already: close a page, or try again in a minute`
  }

  function failed(key: string, error: unknown): void {
    const isFinal = error instanceof ReembedError && error.code === 'USAGE'
    const untilMs = isFinal ? Number.POSITIVE_INFINITY : now() + failedMs
    end(key, { state: 'failed', message: messageOf(error) }, untilMs)
  }

  return {
    read(key, make) {
      const known = open.get(key)
      if (known !== undefined) {
        known.unwanted.refresh()
        return { state: 'running', progress: known.progress }
      }
      const found = ended.get(key)
      if (found !== undefined && found.untilMs > now()) {
        found.askedMs = now()
        return found.work
      }
      ended.delete(key)
      const refusal = refusalNow()
      if (refusal !== undefined) return { state: 'refused', message: refusal }
      const stop = new AbortController()
      const unwanted = setTimeout(() => {
        open.delete(key)
        stop.abort()
      }, unwantedMs).unref()
      const entry: Open = { stop, unwanted, progress: undefined }
      open.set(key, entry)
      last = last.then(async () => {
        if (stop.signal.aborted || signal.aborted) return
        try {
          const show = (progress: string): void => {
            entry.progress = progress
          }
          const value = await make(AbortSignal.any([signal, stop.signal]), show)
          if (open.get(key) === entry) end(key, { state: 'done', value }, Number.POSITIVE_INFINITY)
        } catch (error) {
          if (open.get(key) === entry) failed(key, error)
        } finally {
          clearTimeout(unwanted)
          if (open.get(key) === entry) open.delete(key)
        }
      })
      return { state: 'running', progress: undefined }
    },
  }
}
