// Small JSON objects in a store: plans, manifests, versions. They are canonical JSON, so concurrent
// writers of the same value write the same bytes.

import { promisify } from 'node:util'
import { gunzip, gunzipSync, gzipSync } from 'node:zlib'
import { canonical, codeOf, LIMITS, ReembedError } from '@reembed/shared'
import { collect } from './keys.ts'
import { ObjectNotFound } from './not-found.ts'
import type { Store } from './store.ts'

const SMALL_BYTES = 16 * 1024

/** An object that no reader would accept could not be replaced later. */
function requireReadableSize(key: string, bytes: number, most: number): void {
  if (bytes <= most) return
  throw new ReembedError(
    'USAGE',
    `${key} would have ${bytes} bytes of JSON, at most ${most} are read: use fewer objects per shard, or fewer queries`,
  )
}

/** Writes a value as canonical JSON if the key is free. */
export function putJson(store: Store, key: string, value: unknown): Promise<'created' | 'exists'> {
  const body = Buffer.from(`${canonical(value)}\n`)
  requireReadableSize(key, body.length, LIMITS.recordBytes)
  return store.putIfAbsent(key, body, { contentType: 'application/json' })
}

/**
 * Reads the value at `key`; undefined if there is no such object. Validate it with `requireShape`.
 * @throws ReembedError CORRUPT if the object is not JSON
 */
export async function getJson(store: Store, key: string): Promise<unknown> {
  const body = await getAtMost(store, key, LIMITS.recordBytes).catch((error: unknown) => {
    if (!(error instanceof ObjectNotFound)) throw error
  })
  return body && parse(body, key, store)
}

/**
 * Writes rows as one gzipped JSON array. Equal rows give equal bytes: the gzip header has no
 * timestamp.
 */
export function putRows(store: Store, key: string, rows: readonly unknown[]): Promise<'created' | 'exists'> {
  const json = Buffer.from(`[${rows.map(canonical).join(',\n')}]\n`)
  requireReadableSize(key, json.length, LIMITS.rowsBytes)
  return store.putIfAbsent(key, gzipSync(json), { contentType: 'application/gzip' })
}

/**
 * Reads rows that `putRows` wrote. Validate them with `requireShape`.
 * @throws ReembedError CORRUPT if the object is missing or is not a gzipped JSON array
 */
export async function getRows(store: Store, key: string): Promise<unknown[]> {
  const packed = await getAtMost(store, key, LIMITS.rowsBytes)
  let body: Uint8Array
  try {
    // Decompress small objects synchronously: a thread pool round trip takes longer.
    const limit = { maxOutputLength: LIMITS.rowsBytes }
    body = packed.length < SMALL_BYTES ? gunzipSync(packed, limit) : await promisify(gunzip)(packed, limit)
  } catch (cause) {
    if (codeOf(cause) === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(key, store, LIMITS.rowsBytes)
    throw corrupt(key, store, cause)
  }
  const rows = parse(body, key, store)
  if (!Array.isArray(rows)) throw corrupt(key, store)
  return rows
}

/**
 * Reads an object of at most `most` bytes. Holds no more than that of a larger one.
 * @throws ReembedError CORRUPT for a larger one, ObjectNotFound
 */
export async function getAtMost(store: Store, key: string, most: number): Promise<Uint8Array> {
  let bytes = 0
  async function* counted(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const piece of store.stream(key)) {
      bytes += piece.length
      if (bytes > most) throw tooLarge(key, store, most)
      yield piece
    }
  }
  return collect(counted())
}

const tooLarge = (key: string, store: Store, most: number): ReembedError =>
  new ReembedError(
    'CORRUPT',
    `${key} in ${store.url} has more than ${most} bytes, which nothing of its kind has: check what wrote it`,
  )

function parse(body: Uint8Array, key: string, store: Store): unknown {
  if (depthOf(body) > LIMITS.jsonDepth) throw corrupt(key, store)
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString())
  } catch (cause) {
    throw corrupt(key, store, cause)
  }
}

const [QUOTE, BACKSLASH] = [0x22, 0x5c]
const OPENING = new Set([0x5b, 0x7b])
const CLOSING = new Set([0x5d, 0x7d])

/** Nested arrays and objects: what walks a value recursively must not exhaust the stack. */
function depthOf(json: Uint8Array): number {
  let [depth, deepest] = [0, 0]
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] ?? 0
    if (byte === QUOTE) {
      at += 1
      while (at < json.length && json[at] !== QUOTE) at += json[at] === BACKSLASH ? 2 : 1
    } else if (OPENING.has(byte)) {
      depth += 1
      if (depth > deepest) deepest = depth
    } else if (CLOSING.has(byte)) depth -= 1
  }
  return deepest
}

const corrupt = (key: string, store: Store, cause?: unknown): ReembedError =>
  new ReembedError('CORRUPT', `${key} in ${store.url} is damaged: it is not the JSON that reembed wrote`, {
    cause,
  })
