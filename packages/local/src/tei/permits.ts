// Permits count inputs in progress, not requests (core/src/infer.rs of TEI). Since 1.9.0, a request
// gets all of its permits at once or is refused. In 1.8.3, a single input is refused, but each
// input of a batch waits for its own permit, in order of arrival and without limit.

export interface Permits {
  /**
   * Acquires all permits or none. They are released on disposal, or when the client disconnects.
   */
  tryAcquire(count: number, signal: AbortSignal): Disposable | undefined
  /** Acquires one permit, in order of arrival. Never settles if the client disconnects first. */
  acquire(signal: AbortSignal): Promise<Disposable>
}

export function createPermits(total: number): Permits {
  let free = total
  /** Waiting requests, in order of arrival. */
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
    // Fair, as tokio's semaphore: a request does not overtake waiting ones.
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
