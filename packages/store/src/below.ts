// A folder of a store as a store of its own, with the connections and the checks of that store.

import type { Store } from './store.ts'

/**
 * The part of a store below `prefix`, which ends with '/'. Closing it has no effect: the store is
 * closed by its owner.
 */
export function storeBelow(store: Store, prefix: string): Store {
  const inside = <T extends { readonly key: string }>(object: T): T => ({
    ...object,
    key: object.key.slice(prefix.length),
  })
  return {
    url: `${store.url.replace(/\/+$/, '')}/${prefix.replace(/\/+$/, '')}`,
    async *list(under, { startAfter, ...options } = {}) {
      const from = startAfter === undefined ? undefined : prefix + startAfter
      for await (const object of store.list(prefix + under, { ...options, startAfter: from }))
        yield inside(object)
    },
    async head(key, options) {
      const found = await store.head(prefix + key, options)
      return found && inside(found)
    },
    get: (key, options) => store.get(prefix + key, options),
    stream: (key, options) => store.stream(prefix + key, options),
    putIfAbsent: (key, body, options) => store.putIfAbsent(prefix + key, body, options),
    copyIfAbsent: (from, to, options) => store.copyIfAbsent(prefix + from, prefix + to, options),
    async [Symbol.asyncDispose]() {},
  }
}
