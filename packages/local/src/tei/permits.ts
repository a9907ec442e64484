// Permits count inputs between arrival and reply, not requests (core/src/infer.rs). Since 1.9.0 a request gets all
// of its permits at once or is refused. Before, a single input was refused, and the inputs of a batch waited, each
// for a permit of its own, first come first served and without bound.

export interface Permits {
  /** All or nothing. Given back on disposal, or when the client goes away. */
  tryAcquire(count: number, signal: AbortSignal): Disposable | undefined
  /** One, after those who came before. Never settles when the client goes away first. */
  acquire(signal: AbortSignal): Promise<Disposable>
}

export function createPermits(total: number): Permits {
  let free = total
  /** In order of arrival. */
  const waiting = new Set<() => void>()

  function grant(count: number, signal: AbortSignal): Disposable {
    free -= count
    let held = count
    const release = (): void => {
      free += held
      held = 0
      signal.removeEventListener('abort', release)
      pump()
    }
    signal.addEventListener('abort', release)
    return { [Symbol.dispose]: release }
  }

  function pump(): void {
    for (const next of waiting) {
      if (free === 0) return
      next()
    }
  }

  return {
    // Nobody overtakes those who wait, as with tokio's semaphore.
    tryAcquire: (count, signal) => (count > free || waiting.size > 0 ? undefined : grant(count, signal)),
    acquire(signal) {
      if (free > 0 && waiting.size === 0) return Promise.resolve(grant(1, signal))
      return new Promise(resolve => {
        const leave = (): void => {
          waiting.delete(next)
        }
        const next = (): void => {
          leave()
          signal.removeEventListener('abort', leave)
          resolve(grant(1, signal))
        }
        waiting.add(next)
        signal.addEventListener('abort', leave, { once: true })
      })
    },
  }
}
