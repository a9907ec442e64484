// A simulated object store: one map of objects, and a Store on it for each process. Each call is a
// turn. A call can fail, or succeed and lose its reply. Puts are confirmed by the same code as puts
// to S3.

import { ReembedError, sha256 } from '@reembed/shared'
import {
  createConfirmedPut,
  type ListedObject,
  type ObjectDeleter,
  ObjectNotFound,
  type Store,
} from '@reembed/store'
import { MS_PER_TURN, type Process, type World } from './world.ts'

export interface StoredObject {
  readonly body: Uint8Array
  readonly etag: string
  /** The turn in which it was put. */
  readonly at: number
}

export interface Objects {
  readonly url: string
  readonly map: ReadonlyMap<string, StoredObject>
  /** Increases with every put and erasure: if it is unchanged, there is nothing to check. */
  readonly changes: number
  /** Keys that were put since the last check, which empties the list. */
  readonly fresh: string[]
  /** Keys that were erased since the last check, which empties the list. */
  readonly erased: string[]
  /** Every write-once key that was written a second time. */
  readonly overwritten: string[]
  /** Overwrites, as an edit of the corpus does, or a foreign program that writes to the output. */
  replace(key: string, body: Uint8Array): void
  /** As the store does when it takes a put. */
  put(key: string, object: Omit<StoredObject, 'at'>): void
  erase(key: string): void
}

export interface StoreFaults {
  /** How often a call fails without being done, and how often it is done and its reply is lost. */
  failing: number
  losing: number
  /** How often a put is slow: the state that it was based on may have changed when it arrives. */
  stalling: number
  /** How often it refuses to copy, as a file with too many links does. */
  refusing: number
  /** Makes the store ignore If-None-Match. */
  overwrites: boolean
}

export function createObjects(url: string, world: Pick<World, 'now'>): Objects {
  const map = new Map<string, StoredObject>()
  const fresh: string[] = []
  const erased: string[] = []
  let changes = 0
  function set(key: string, object: Omit<StoredObject, 'at'>): void {
    changes += 1
    map.set(key, { ...object, at: world.now })
  }
  return {
    url,
    map,
    get changes() {
      return changes
    },
    fresh,
    erased,
    overwritten: [],
    replace: (key, body) => set(key, { body: Buffer.from(body), etag: etagOf(body) }),
    put(key, object) {
      set(key, object)
      fresh.push(key)
    },
    erase(key) {
      if (!map.delete(key)) return
      changes += 1
      erased.push(key)
    },
  }
}

const etagOf = (body: Uint8Array): string => sha256(body).slice(0, 16)

const TRIES = 4
const RETRY_TURNS = 6
/** How often a reply takes a turn of its own. */
export const SLOW = 0.15
const STALL_TURNS = 60

/** How many turns a call is on its way. */
export const stallOf = (world: World, chance: number): number =>
  world.chance(chance) ? world.below(STALL_TURNS) : 0

/** The store as one process sees it, and its way to delete. */
export function openSimulated(
  objects: Objects,
  world: World,
  process: Process,
  faults: StoreFaults,
): Store & ObjectDeleter {
  const { map, url } = objects
  const unreachable = (what: string): ReembedError =>
    new ReembedError('STORE_UNREACHABLE', `${url}: ${what}`, { retry: 'requeue', retryAfterMs: 20 })

  /**
   * One exchange is one turn: what comes of the reply is not seen outside before the next call,
   * which is a turn of its own. Sometimes the reply takes a turn too: a process may be stopped or
   * lose a lock while a reply is in flight.
   */
  async function exchange<T>(act: () => T, delay = 0): Promise<T> {
    await world.turn(process, delay)
    if (world.chance(faults.failing)) throw unreachable('503')
    const result = act()
    const lost = world.chance(faults.losing)
    if (world.chance(SLOW)) await world.turn(process)
    if (lost) throw unreachable('reply lost')
    return result
  }

  async function trying<T>(run: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      signal?.throwIfAborted()
      try {
        return await run()
      } catch (error) {
        if (!(error instanceof ReembedError) || error.retry !== 'requeue' || tries === TRIES) throw error
        await world.turn(process, world.below(RETRY_TURNS))
      }
    }
  }

  const infoOf = (key: string, { body, etag, at }: StoredObject): ListedObject => ({
    key,
    size: body.length,
    etag,
    modifiedMs: at * MS_PER_TURN,
  })

  function read(key: string, start = 0, end = Number.POSITIVE_INFINITY, ifMatch?: string): Uint8Array {
    const found = map.get(key)
    if (ifMatch !== undefined && found?.etag !== ifMatch) {
      throw new ReembedError('SOURCE_CHANGED', `${key} was changed since the run was planned`)
    }
    if (found === undefined) throw new ObjectNotFound(`${key} in ${url}`)
    // A Buffer: small ones are cut from a pool, which takes a third of the time of memory of their
    // own.
    return Buffer.from(found.body.subarray(start, Math.min(end, found.body.length)))
  }

  const get: Store['get'] = (key, { start, end, ifMatch, signal } = {}) =>
    trying(() => exchange(() => read(key, start, end, ifMatch)), signal)

  return {
    url,
    get,
    async *stream(key, options) {
      yield await get(key, options)
    },
    head: (key, { signal } = {}) =>
      trying(
        () =>
          exchange(() => {
            const found = map.get(key)
            return found && infoOf(key, found)
          }),
        signal,
      ),
    async *list(prefix, { startAfter = '', signal } = {}) {
      const page = await trying(
        () =>
          exchange(() =>
            [...map.keys()]
              .filter(key => key.startsWith(prefix) && key > startAfter)
              .sort()
              .flatMap(key => {
                const found = map.get(key)
                return found ? [infoOf(key, found)] : []
              }),
          ),
        signal,
      )
      yield* page
    },
    putIfAbsent(key, body, { signal } = {}) {
      const etag = etagOf(body)
      const put = createConfirmedPut({
        put: () =>
          exchange(
            () => {
              const held = map.get(key)
              if (held && !faults.overwrites) return 'exists'
              if (held && held.etag !== etag) objects.overwritten.push(key)
              objects.put(key, { body: Buffer.from(body), etag })
              return 'created'
            },
            stallOf(world, faults.stalling),
          ),
        findWriter: () =>
          exchange(() => {
            const held = map.get(key)
            return held && (held.etag === etag ? 'self' : 'concurrent_writer')
          }),
        mayHaveSucceeded: () => true,
      })
      return trying(put, signal)
    },
    copyIfAbsent: (from, to, { signal } = {}) =>
      trying(
        () =>
          exchange(
            () => {
              const source = map.get(from)
              if (source === undefined) throw new ObjectNotFound(`${from} in ${url}`)
              if (world.chance(faults.refusing)) return 'unsupported'
              const held = map.get(to)
              if (held !== undefined && !faults.overwrites) return 'exists'
              if (held !== undefined && held.etag !== source.etag) objects.overwritten.push(to)
              objects.put(to, { body: source.body, etag: source.etag })
              return 'created'
            },
            stallOf(world, faults.stalling),
          ),
        signal,
      ),
    delete: (key, { signal } = {}) =>
      trying(() => exchange(() => objects.erase(key), stallOf(world, faults.stalling)), signal),
    async [Symbol.asyncDispose]() {},
  }
}
