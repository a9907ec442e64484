// What can be fuzzed: something that is given bytes from outside, and what must hold whatever they
// are.

import { ReembedError } from '@reembed/shared'
import { type ObjectInfo, ObjectNotFound, type Store } from '@reembed/store'

export interface Target {
  /** What it is about, for the list. */
  readonly what: string
  /** Good inputs, made by our own writers or by others. */
  seeds(): Promise<readonly Uint8Array[]> | readonly Uint8Array[]
  /** Pieces that inputs are made of. */
  readonly dictionary?: readonly (string | Uint8Array)[]
  /** Longer inputs are not tried. */
  readonly maxBytes?: number
  /** Memory that one input may take, in MiB. */
  readonly maxMiB?: number
  /** Throws when something is wrong. What is refused as it should be is no failure. */
  check(input: Buffer): Promise<void> | void
}

/** Something that must never be: no ReembedError is as good as this one. */
export class Finding extends Error {
  override readonly name = 'Finding'
}

export function must(holds: boolean, what: () => string): asserts holds {
  if (!holds) throw new Finding(what())
}

const MAX_MESSAGE = 2_000

/**
 * What `work` gives, or undefined where it refused with one of these codes and one clear line.
 * Anything else that it throws is passed on: that is a finding.
 */
export async function refusing<T>(
  codes: readonly string[],
  work: () => Promise<T> | T,
): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof ReembedError)) throw error
    must(codes.includes(error.code), () => `refused with ${error.code}: ${error.message}`)
    must(/\w/.test(error.message), () => `refused without a message (${error.code})`)
    must(error.message.length <= MAX_MESSAGE, () => `refused with ${error.message.length} characters`)
    return undefined
  }
}

/**
 * The first bytes of an input decide how the rest is read: `choices` of a reader come from there.
 */
export interface Choices {
  /** From 0 to `below` - 1. */
  number(below: number): number
  readonly rest: Buffer
}

/** Takes `bytes` bytes from the front for choices. */
export function choicesOf(input: Buffer, bytes: number): Choices {
  let at = 0
  return {
    number: below => (at < bytes ? (input[at++] ?? 0) : 0) % below,
    rest: input.subarray(bytes),
  }
}

/** A store in memory; `chunkBytes` is what a stream returns at once. */
export function memoryStore(
  objects: ReadonlyMap<string, Uint8Array>,
  { chunkBytes = 1 << 16 }: { readonly chunkBytes?: number } = {},
): Store {
  const written = new Map(objects)
  const bytesOf = (key: string, start = 0, end = Number.POSITIVE_INFINITY): Uint8Array => {
    const bytes = written.get(key)
    if (bytes === undefined) throw new ObjectNotFound(key)
    // As a real store: a range that begins beyond the end is empty.
    return bytes.subarray(start, Math.max(start, end))
  }
  return {
    url: 'memory',
    async *list(prefix, { startAfter = '' } = {}): AsyncGenerator<ObjectInfo, void, undefined> {
      const keys = [...written.keys()].filter(key => key.startsWith(prefix) && key > startAfter).sort()
      for (const key of keys) yield { key, size: written.get(key)?.length ?? 0, etag: 'e' }
    },
    async head(key) {
      const bytes = written.get(key)
      return bytes && { key, size: bytes.length, etag: 'e' }
    },
    async get(key, { start, end } = {}) {
      // A copy, as from a network: what is decoded may lie anywhere in memory.
      return Buffer.from(bytesOf(key, start, end))
    },
    async *stream(key, { start, end } = {}) {
      const bytes = bytesOf(key, start, end)
      for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes)
    },
    async putIfAbsent(key, body) {
      if (written.has(key)) return 'exists'
      written.set(key, Buffer.from(body))
      return 'created'
    },
    async copyIfAbsent(from, to) {
      return this.putIfAbsent(to, await this.get(from))
    },
    async [Symbol.asyncDispose]() {},
  }
}
