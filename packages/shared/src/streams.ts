// Pull-driven stream operators. Only mapConcurrent reads ahead of the consumer, within its limit.

/** Yields the values of `source` in order, in arrays of `size`; the last array may be shorter. */
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

/** A body over its limit; its rest was not read. */
export class BodyTooLong extends Error {}

/** Reads a body whole. @throws BodyTooLong if it is longer than `maxBytes` */
export async function readBounded(
  body: AsyncIterable<Uint8Array> | null,
  maxBytes: number,
): Promise<Buffer<ArrayBuffer>> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of body ?? []) {
    bytes += piece.length
    if (bytes > maxBytes) throw new BodyTooLong(`the reply is longer than ${maxBytes} bytes`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

export interface MapConcurrentOptions {
  /** Maximum number of concurrent calls of `fn`; also the maximum number of results held. */
  readonly concurrency: number
  readonly signal?: AbortSignal | undefined
}

/**
 * A shared abort reason: an AbortSignal without a reason creates an error with a stack on each
 * abort.
 */
const ENDED = new Error('the consumer stopped reading')

/**
 * Calls `fn` for each value of `source`, at most `concurrency` calls at a time, and yields the
 * results in source order. A slow source never delays a finished result. On the first failure, and
 * when the consumer stops early, it aborts the signal of every running call, waits for all of them
 * and closes the source, so no call outlives the iteration.
 * @throws the failure that occurred first
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
  /**
   * The pending read of the source: at most one, started only when a slot for its value is free.
   */
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
