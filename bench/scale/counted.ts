// Counts the requests that calls of a store would send to S3.

import { type ObjectDeleter, ObjectNotFound, type Store } from '@reembed/store'

export interface Requests {
  list: number
  head: number
  get: number
  put: number
  copy: number
  delete: number
}

/** Keys of a page of ListObjectsV2. */
const PAGE_KEYS = 1_000

export interface CountedView {
  /** Objects that the view does not have. */
  readonly isHidden?: (key: string) => boolean
  /** Puts are counted and reach no store. */
  readonly isReadOnly?: boolean
}

/** A view of a store that counts what passes through it. */
export function countedStore(
  store: Store,
  { isHidden = () => false, isReadOnly = false }: CountedView = {},
): { readonly store: Store; readonly requests: Requests } {
  const requests: Requests = { list: 0, head: 0, get: 0, put: 0, copy: 0, delete: 0 }
  const counted: Store = {
    url: store.url,
    async *list(prefix, options) {
      let listed = 0
      for await (const object of store.list(prefix, options)) {
        if (listed++ % PAGE_KEYS === 0) requests.list += 1
        if (!isHidden(object.key)) yield object
      }
      if (listed === 0) requests.list += 1
    },
    async head(key, options) {
      requests.head += 1
      return isHidden(key) ? undefined : store.head(key, options)
    },
    async get(key, options) {
      requests.get += 1
      if (isHidden(key)) throw new ObjectNotFound(key)
      return store.get(key, options)
    },
    async *stream(key, options) {
      requests.get += 1
      if (isHidden(key)) throw new ObjectNotFound(key)
      yield* store.stream(key, options)
    },
    async putIfAbsent(key, body, options) {
      requests.put += 1
      return isReadOnly ? 'created' : store.putIfAbsent(key, body, options)
    },
    async copyIfAbsent(from, to, options) {
      requests.copy += 1
      return store.copyIfAbsent(from, to, options)
    },
    async [Symbol.asyncDispose]() {},
  }
  return { store: counted, requests }
}

/** Counts what is deleted. */
export const countedDeleter = (deleter: ObjectDeleter, requests: Requests): ObjectDeleter => ({
  async delete(key, options) {
    requests.delete += 1
    return deleter.delete(key, options)
  },
  async [Symbol.asyncDispose]() {},
})
