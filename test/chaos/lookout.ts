// Watches the store from outside: which shards exist, when they came, whether one was ever
// changed, and whether the run is published.

import { setTimeout as wait } from 'node:timers/promises'
import { shardPrefix } from '@reembed/shared'

/** What can be seen of an output without asking through its faults. */
export interface Sight {
  /** Names directly below the prefix. */
  names(prefix: string): Promise<readonly string[]>
  /** Another one after any change. */
  etag(key: string): Promise<string | undefined>
}

export interface Lookout extends AsyncDisposable {
  /** Existing shards, and when each was first seen. */
  readonly seen: ReadonlyMap<number, number>
  readonly published: boolean
  readonly longestGapMs: number
  /** @throws when nothing moves for five minutes */
  until(what: () => boolean): Promise<void>
  /** Resolves when so many shards exist, or the run is published. */
  untilShards(count: number): Promise<void>
  /** Keys of shards that are not what they were when first seen. */
  overwritten(): Promise<string[]>
}

const LOOK_MS = 100
const STUCK_MS = 300_000

export function createLookout(
  { run, shards }: { readonly run: string; readonly shards: number },
  sight: Sight,
): Lookout {
  const seen = new Map<number, number>()
  const etags = new Map<string, string | undefined>()
  const prefix = shardPrefix(run)
  const waiting = new Set<() => void>()
  let published = false
  let movedAt = performance.now()
  let longestGapMs = 0
  let closed = false
  let failure: Error | undefined

  async function look(): Promise<void> {
    const now = performance.now()
    for (const name of await sight.names(prefix)) {
      const [, number] = /^part-(\d+)-of-/.exec(name) ?? []
      if (number === undefined || seen.has(Number(number))) continue
      longestGapMs = Math.max(longestGapMs, now - movedAt)
      movedAt = now
      seen.set(Number(number), now)
      etags.set(prefix + name, await sight.etag(prefix + name))
    }
    published = (await sight.names('versions/')).length > 0
    if (!published && now - movedAt > STUCK_MS)
      failure ??= new Error(
        `${seen.size} of ${shards} shards of run ${run}, and nothing moved for five minutes`,
      )
    const due = [...waiting]
    waiting.clear()
    for (const resume of due) resume()
  }

  const looking = (async () => {
    while (!closed) {
      await look()
      await wait(LOOK_MS)
    }
  })()
  looking.catch(() => {})

  async function until(what: () => boolean): Promise<void> {
    while (!what()) {
      if (failure) throw failure
      await Promise.race([looking, new Promise<void>(resolve => waiting.add(resolve))])
    }
  }

  return {
    seen,
    get published() {
      return published
    },
    get longestGapMs() {
      return longestGapMs
    },
    until,
    untilShards: count => until(() => published || seen.size >= count),
    async overwritten() {
      const changed: string[] = []
      for (const [key, etag] of etags) if ((await sight.etag(key)) !== etag) changed.push(key)
      return changed
    },
    async [Symbol.asyncDispose]() {
      closed = true
      await looking.catch(() => {})
    },
  }
}
