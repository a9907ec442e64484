// Caches of promises.

/** A cache of asynchronous results by key. */
export interface Memo<K, V> {
  /**
   * Returns the cached promise, or caches the promise of `create`. Concurrent callers share one
   * call. A rejected promise is removed, so that the next call retries.
   */
  get(key: K, create: () => Promise<V>): Promise<V>
  /**
   * Waits for the pending results and returns all that are fulfilled, for example to dispose them.
   */
  settled(): Promise<V[]>
}

export interface MemoOptions<V> {
  /**
   * Maximum number of results; the least recently used is removed first. The default is no limit.
   */
  readonly max?: number
  /** Size of a result, and `max` limits the sum of the sizes instead of the number of results. */
  readonly sizeOf?: ((value: V) => number) | undefined
}

interface Cached<V> {
  readonly value: Promise<V>
  /** 0 until the size is known. */
  size: number
}

/** Creates an empty cache. */
export function createMemo<K, V>({
  max = Number.POSITIVE_INFINITY,
  sizeOf,
}: MemoOptions<V> = {}): Memo<K, V> {
  const cached = new Map<K, Cached<V>>()
  let total = 0

  function remove(key: K, entry: Cached<V>): void {
    if (cached.get(key) !== entry) return
    cached.delete(key)
    total -= entry.size
  }

  function resize(key: K, entry: Cached<V>, size: number): void {
    if (cached.get(key) !== entry) return
    total += size - entry.size
    entry.size = size
    for (const [oldest, kept] of cached) {
      if (total <= max) break
      if (kept.size > 0) remove(oldest, kept)
    }
  }

  return {
    get(key, create) {
      const known = cached.get(key)
      const entry = known ?? { value: create(), size: 0 }
      // A Map iterates in insertion order: reinserting keeps it in order of use.
      cached.delete(key)
      cached.set(key, entry)
      if (known !== undefined) return known.value
      if (!sizeOf) resize(key, entry, 1)
      entry.value.then(
        value => sizeOf && resize(key, entry, sizeOf(value)),
        () => remove(key, entry),
      )
      return entry.value
    },
    async settled() {
      const results = await Promise.allSettled([...cached.values()].map(({ value }) => value))
      return results.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
    },
  }
}
