// Opens a source or an output by its URL or path.

import { fileURLToPath } from 'node:url'

import { ReembedError } from '@reembed/shared'
import { checkStore, STORE_CHECK_KEY } from './check.ts'
import { openFolder } from './folder.ts'
import type { HubOptions } from './hub.ts'
import type { S3Options } from './s3-options.ts'
import { s3PlaceOf } from './s3-url.ts'
import type { Store } from './store.ts'

export interface OpenStoreOptions {
  /** Create a missing folder. Buckets are never created. */
  readonly create?: boolean | undefined
  /**
   * Skips the proof that an S3 store supports conditional writes: safe for a single writer only.
   */
  readonly unsafe?: boolean | undefined
  readonly s3?: S3Options | undefined
  readonly hub?: HubOptions | undefined
}

/**
 * Opens 's3://bucket/prefix', a folder, 'file:///folder', or, to read,
 * 'hf://datasets/org/name@revision/path'; 'hf://buckets/namespace/bucket/prefix' is S3. The AWS SDK
 * is loaded only when it is needed. The first put to S3 fails with STORE_UNSAFE if the store
 * ignores If-None-Match.
 */
export async function openStore(
  url: string,
  { create, unsafe, s3, hub }: OpenStoreOptions = {},
): Promise<Store> {
  if (url === '')
    throw new ReembedError('USAGE', 'Expected a folder or s3://bucket/prefix, got an empty string')
  const place = s3PlaceOf(url, s3)
  if (place) {
    const { openS3 } = await import('./s3.ts')
    const store = await openS3(place.url, place.options)
    return unsafe ? store : checkedBeforePut(store)
  }
  if (url.startsWith('hf://')) {
    const { openHub } = await import('./hub.ts')
    return openHub(url, hub)
  }
  if (url.startsWith('file://')) return openFolder(pathOfUrl(url), { create })
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)?.[1] ?? /^(s3[an]?):/i.exec(url)?.[1]
  if (scheme !== undefined) {
    const meant = /^s3/i.test(scheme)
      ? "did you mean 's3://'?"
      : "expected 's3://bucket/prefix', a folder or 'file://'"
    throw new ReembedError('USAGE', `Cannot open a '${scheme}:' URL: ${meant}`)
  }
  return openFolder(url, { create })
}

/**
 * Not every S3 server honours If-None-Match; all that is written relies on it. A check that fails
 * is repeated.
 */
function checkedBeforePut(store: Store): Store {
  let checking: Promise<void> | undefined
  async function checked(): Promise<void> {
    checking ??= checkStore(store)
    await checking.catch((error: unknown) => {
      checking = undefined
      throw error
    })
  }
  return {
    ...store,
    async putIfAbsent(key, body, options) {
      if (key !== STORE_CHECK_KEY) await checked()
      return store.putIfAbsent(key, body, options)
    },
    async copyIfAbsent(from, to, options) {
      await checked()
      return store.copyIfAbsent(from, to, options)
    },
  }
}

function pathOfUrl(url: string): string {
  try {
    return fileURLToPath(url)
  } catch (error) {
    throw new ReembedError('USAGE', `'${url}' is not a local folder: write file:///folder`, { cause: error })
  }
}
