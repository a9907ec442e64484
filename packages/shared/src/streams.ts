// Pull-driven stream operators: nothing is read ahead of the consumer except through mapConcurrent's limit.

/** Groups of `size` in order; the last may be shorter. */
export async function* batched<T>(
  source: AsyncIterable<T> | Iterable<T>,
  size: number,
): AsyncGenerator<T[], void, undefined> {
  let batch: T[] = []
  for await (const value of source) {
    batch.push(value)
    if (batch.length === size) {
      yield batch
      batch = []
    }
  }
  if (batch.length > 0) yield batch
}

export interface MapConcurrentOptions {
  /** How many calls of `fn` may run at once; also the number of finished results that are held. */
  readonly concurrency: number
  readonly signal?: AbortSignal | undefined
}

/** Made once: an AbortSignal without a reason makes an error with a stack each time, here for nobody. */
const ENDED = new Error('nobody wants it any more')

/**
 * Runs `fn` over `source`, at most `concurrency` at once, and yields the results in source order.
 * A finished result is never held back by a slow source. On the first failure, and when the consumer stops early,
 * the signal given to every running call is aborted, all of them are waited for and the source is closed: nothing
 * runs on behind the caller's back. The failure that came first is the one thrown.
 */
export async function* mapConcurrent<T, R>(
  source: AsyncIterable<T> | Iterable<T>,
  fn: (value: T, signal: AbortSignal) => Promise<R>,
  { concurrency, signal }: MapConcurrentOptions,
): AsyncGenerator<R, void, undefined> {
  const stop = new AbortController()
  const inner = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
  const running: Promise<R>[] = []
  let failure: { error: unknown } | undefined
  const fail = (error: unknown): void => {
    failure ??= { error }
    stop.abort(error)
  }
  /** The pull from the source that is under way: at most one, started only when there is room for its value. */
  let pull: Promise<IteratorResult<T>> | undefined
  let ended = false
  try {
    while (true) {
      if (failure) throw failure.error
      signal?.throwIfAborted()
      if (!ended && pull === undefined && running.length < concurrency) {
        pull = Promise.resolve(iterator.next())
        pull.catch(fail)
      }
      const head = running[0]
      const winner = await Promise.race([
        ...(pull ? [pull.then(next => ({ next }))] : []),
        ...(head ? [head.then(result => ({ result }))] : []),
        ...(pull || head ? [] : [undefined]),
      ])
      if (winner === undefined) return
      if ('result' in winner) {
        void running.shift()
        yield winner.result
      } else {
        pull = undefined
        if (winner.next.done) {
          ended = true
        } else {
          const result = fn(winner.next.value, inner)
          result.catch(fail)
          running.push(result)
        }
      }
    }
  } catch (error) {
    fail(error)
    throw failure?.error
  } finally {
    stop.abort(ENDED)
    await Promise.allSettled([...running, ...(pull ? [pull] : [])])
    if (!ended) await iterator.return?.()
  }
}
