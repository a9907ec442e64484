// Small JSON objects in a store: plans, manifests, versions. They are canonical JSON, so concurrent
// writers of the same value write the same bytes.

import { promisify } from 'node:util'
import { gunzip, gunzipSync, gzipSync } from 'node:zlib'
import { canonical, ReembedError } from '@reembed/shared'
import { ObjectNotFound } from './not-found.ts'
import type { Store } from './store.ts'

const MAX_BYTES = 512 * 1024 * 1024
const SMALL_BYTES = 16 * 1024

/** Writes a value as canonical JSON if the key is free. */
export function putJson(store: Store, key: string, value: unknown): Promise<'created' | 'exists'> {
  return store.putIfAbsent(key, Buffer.from(`${canonical(value)}\n`), { contentType: 'application/json' })
}

/**
 * Reads the value at `key`; undefined if there is no such object. Validate it with `requireShape`.
 * @throws ReembedError CORRUPT if the object is not JSON
 */
export async function getJson(store: Store, key: string): Promise<unknown> {
  const body = await store.get(key).catch((error: unknown) => {
    if (!(error instanceof ObjectNotFound)) throw error
  })
  return body && parse(body, key, store)
}

/**
 * Writes rows as one gzipped JSON array. Equal rows give equal bytes: the gzip header has no
 * timestamp.
 */
export function putRows(store: Store, key: string, rows: readonly unknown[]): Promise<'created' | 'exists'> {
  const body = gzipSync(Buffer.from(`[${rows.map(canonical).join(',\n')}]\n`))
  return store.putIfAbsent(key, body, { contentType: 'application/gzip' })
}

/**
 * Reads rows that `putRows` wrote, at most 512 MiB of JSON. Validate them with `requireShape`.
 * @throws ReembedError CORRUPT if the object is missing or is not a gzipped JSON array
 */
export async function getRows(store: Store, key: string): Promise<unknown[]> {
  const packed = await store.get(key)
  let body: Uint8Array
  try {
    // Decompress small objects synchronously: a thread pool round trip takes longer.
    const limit = { maxOutputLength: MAX_BYTES }
    body = packed.length < SMALL_BYTES ? gunzipSync(packed, limit) : await promisify(gunzip)(packed, limit)
  } catch (cause) {
    throw corrupt(key, store, cause)
  }
  const rows = parse(body, key, store)
  if (!Array.isArray(rows)) throw corrupt(key, store)
  return rows
}

function parse(body: Uint8Array, key: string, store: Store): unknown {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString())
  } catch (cause) {
    throw corrupt(key, store, cause)
  }
}

const corrupt = (key: string, store: Store, cause?: unknown): ReembedError =>
  new ReembedError('CORRUPT', `${key} in ${store.url} is damaged: it is not the JSON that reembed wrote`, {
    cause,
  })
