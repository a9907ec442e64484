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

export interface MemoOptions {
  /**
   * Maximum number of results; the least recently used is removed first. The default is no limit.
   */
  readonly max?: number
}

/** Creates an empty cache. */
export function createMemo<K, V>({ max = Number.POSITIVE_INFINITY }: MemoOptions = {}): Memo<K, V> {
  const cached = new Map<K, Promise<V>>()
  return {
    get(key, create) {
      const known = cached.get(key)
      const value = known ?? create()
      // A Map iterates in insertion order: reinserting keeps it in order of use.
      cached.delete(key)
      cached.set(key, value)
      if (known !== undefined) return value
      value.catch(() => {
        if (cached.get(key) === value) cached.delete(key)
      })
      for (const oldest of cached.keys()) {
        if (cached.size <= max) break
        cached.delete(oldest)
      }
      return value
    },
    async settled() {
      const results = await Promise.allSettled(cached.values())
      return results.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
    },
  }
}
