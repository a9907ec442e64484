// Ends waits by time and by a signal.

/** A signal that aborts with its parent, or when its time is over. */
export interface TimeLimit extends Disposable {
  readonly signal: AbortSignal
  /** Whether the time is over. False after an abort by the parent. */
  readonly isOver: boolean
  /** Starts the time, or starts it again with another one. */
  begin(ms: number): void
  /** Stops the time, for example while the caller processes what it has received. */
  pause(): void
}

/** A time limit that has not begun. Dispose it, or the parent keeps a listener. */
export function createTimeLimit(parent?: AbortSignal): TimeLimit {
  const controller = new AbortController()
  let timer: NodeJS.Timeout | undefined
  let isOver = false
  const abort = (): void => controller.abort(parent?.reason)
  if (parent?.aborted) abort()
  else parent?.addEventListener('abort', abort, { once: true })
  const pause = (): void => clearTimeout(timer)
  return {
    signal: controller.signal,
    get isOver() {
      return isOver
    },
    begin(ms) {
      pause()
      timer = setTimeout(() => {
        isOver = !controller.signal.aborted
        controller.abort(new Error(`no reply for ${seconds(ms)} s`))
      }, ms)
    },
    pause,
    [Symbol.dispose]() {
      pause()
      parent?.removeEventListener('abort', abort)
    },
  }
}

/** '60', '2.5' */
export const seconds = (ms: number): string => String(Number((ms / 1000).toFixed(ms < 10_000 ? 1 : 0)))

/**
 * The outcome of `promise`; rejects with the result of `late` after `ms`. What `promise` waits for
 * is not ended: the caller must close it.
 */
export async function within<T>(ms: number, promise: Promise<T>, late: () => unknown): Promise<T> {
  const over = Promise.withResolvers<never>()
  const timer = setTimeout(() => over.reject(late()), ms)
  try {
    return await Promise.race([promise, over.promise])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * The outcome of `promise`; rejects with the signal's reason when it aborts first. What `promise`
 * waits for is not ended.
 */
export async function unlessAborted<T>(signal: AbortSignal | undefined, promise: Promise<T>): Promise<T> {
  if (signal === undefined) return promise
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(signal.reason)
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  promise.catch(() => {})
  try {
    return await Promise.race([aborted.promise, promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
