// The time limits of one read of an object. Only waits for the sender count, not the time that the
// caller takes for a piece: a worker reads a slice as slowly as it embeds it.

import { bodyMs, createTimeLimit, startWait } from '@reembed/shared'

/** One read, over all its attempts. */
export interface TimedRead {
  /** Whether all attempts together have waited too long for the bytes that came. */
  readonly isSpent: boolean
  /** Begins an attempt. Dispose it when it ends. */
  attempt(signal: AbortSignal | undefined): ReadAttempt
}

export interface ReadAttempt extends Disposable {
  /** For the request: aborts when a reply, or the next piece of its body, is overdue. */
  readonly signal: AbortSignal
  readonly isOver: boolean
  /** Waits for the head of the reply. */
  head<T>(receive: () => Promise<T>): Promise<T>
  /** Yields the pieces of the body. The abort of the request's signal must break the body off. */
  pieces(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined>
}

export interface TimedReadOptions {
  /** The sender, for the report of a long wait. */
  readonly dependency: string
  /** Until the reply, and between two pieces. */
  readonly replyMs: number
  /** All waits together, and again for each MiB received. */
  readonly callMs: number
}

export function createTimedRead({ dependency, replyMs, callMs }: TimedReadOptions): TimedRead {
  let [waitedMs, received] = [0, 0]
  const leftMs = (): number => bodyMs(callMs, received) - waitedMs

  return {
    get isSpent() {
      return leftMs() <= 0
    },
    attempt(signal) {
      const limit = createTimeLimit(signal)
      async function waiting<T>(receive: () => Promise<T>): Promise<T> {
        using wait = startWait(dependency)
        const before = performance.now()
        limit.begin(Math.max(0, Math.min(replyMs, leftMs())))
        try {
          const value = await receive()
          wait.answered()
          return value
        } finally {
          limit.pause()
          waitedMs += performance.now() - before
        }
      }
      return {
        signal: limit.signal,
        get isOver() {
          return limit.isOver
        },
        head: waiting,
        async *pieces(body) {
          const pieces = body[Symbol.asyncIterator]()
          let ended = false
          try {
            while (!ended) {
              const { done, value } = await waiting(() => pieces.next())
              ended = done === true
              if (done) break
              received += value.length
              yield value
            }
          } finally {
            if (!ended) await pieces.return?.()
          }
        },
        [Symbol.dispose]: () => limit[Symbol.dispose](),
      }
    },
  }
}
