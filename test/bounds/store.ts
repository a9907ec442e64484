// A store whose objects are computed as they are read: any size, no disk.

import { type ObjectInfo, ObjectNotFound, type Store } from '@reembed/store'

export interface Computed {
  readonly size: number
  /** The bytes from `start` up to `end`, in pieces. */
  read(start: number, end: number): Iterable<Uint8Array>
}

/** Objects by key, and what else there is to a listing. */
export function computedStore(
  objectAt: (key: string) => Computed | undefined,
  list: (prefix: string) => Iterable<ObjectInfo> = () => [],
): Store & { readonly put: Map<string, number> } {
  const put = new Map<string, number>()
  const require = (key: string): Computed => {
    const object = objectAt(key)
    if (object) return object
    throw new ObjectNotFound(key)
  }
  async function* stream(key: string, { start = 0, end = Number.POSITIVE_INFINITY } = {}) {
    const object = require(key)
    yield* object.read(start, Math.min(end, object.size))
  }
  return {
    url: 'computed',
    put,
    stream,
    async *list(prefix) {
      yield* list(prefix)
    },
    async head(key) {
      const object = objectAt(key)
      return object && { key, size: object.size, etag: 'e' }
    },
    async get(key, options) {
      return Buffer.concat(await Array.fromAsync(stream(key, options)))
    },
    async putIfAbsent(key, body) {
      if (put.has(key)) return 'exists'
      put.set(key, body.length)
      return 'created'
    },
    async copyIfAbsent(from, to) {
      return this.putIfAbsent(to, await this.get(from))
    },
    async [Symbol.asyncDispose]() {},
  }
}

/**
 * The same bytes over and over, or what `unitOf` returns for each repetition, of the same length.
 */
export function repeated(
  unit: Uint8Array,
  size: number,
  unitOf: (index: number) => Uint8Array = () => unit,
): Computed {
  return {
    size,
    *read(start, end) {
      for (let at = start; at < end; ) {
        const from = at % unit.length
        const piece = unitOf(Math.floor(at / unit.length)).subarray(
          from,
          Math.min(unit.length, from + end - at),
        )
        yield piece
        at += piece.length
      }
    },
  }
}

/** Some objects one after another as one. */
export function joined(...parts: readonly Computed[]): Computed {
  const size = parts.reduce((sum, part) => sum + part.size, 0)
  return {
    size,
    *read(start, end) {
      let before = 0
      for (const part of parts) {
        const from = Math.max(0, start - before)
        const to = Math.min(part.size, end - before)
        if (from < to) yield* part.read(from, to)
        before += part.size
      }
    },
  }
}

export const literal = (text: string): Computed => {
  const bytes = Buffer.from(text)
  return repeated(bytes, bytes.length)
}
