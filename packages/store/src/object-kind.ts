// The kinds of JSON objects that reembed writes. Reader and writer of a kind use one shape: a value
// that its own reader refuses is never written, because an object cannot be replaced later.

import { format1, ReembedError, requireShape, type Shape } from '@reembed/shared'
import { getJson, getRows, putJson, putRows } from './json.ts'
import type { Store } from './store.ts'

export interface ObjectKindOptions<T> {
  /** What the object is, with its article, for messages: 'a plan that reembed wrote'. */
  readonly noun: string
  readonly shape: Shape
  /** Returns what is wrong with a value of this shape under this key; undefined if it is valid. */
  readonly check?: ((value: T, key: string) => string | undefined) | undefined
}

/** Reads and writes the objects of one kind. Each object has `format: 1`. */
export interface ObjectKind<T> {
  /**
   * Reads the value at `key`; undefined if there is no such object.
   * @throws ReembedError CORRUPT that names the key and the first invalid field
   */
  read(store: Store, key: string): Promise<T | undefined>
  /**
   * Writes a value if the key is free.
   * @throws ReembedError INTERNAL if the reader would refuse it; nothing is written then
   */
  put(store: Store, key: string, value: T): Promise<'created' | 'exists'>
}

/** Declares a kind of JSON object. */
export function objectKind<T extends object>({ noun, shape, check }: ObjectKindOptions<T>): ObjectKind<T> {
  const refuse = (value: unknown, key: string): string | undefined => {
    const wrong = shape(value, '') ?? formatShape(value, '')
    return wrong === undefined ? check?.(value as T, key) : invalid(wrong)
  }
  return {
    async read(store, key) {
      const found = await getJson(store, key)
      if (found === undefined) return undefined
      const wrong = refuse(found, key)
      if (wrong === undefined) return found as T
      throw new ReembedError('CORRUPT', `${key} in ${store.url} is not ${noun}: ${wrong}`)
    },
    async put(store, key, value) {
      const written = { format: 1, ...value }
      requireReadable(refuse(written, key), key, noun)
      return putJson(store, key, written)
    },
  }
}

/** Reads and writes lists that are gzipped JSON arrays of rows of one kind. */
export interface RowsKind<Row> {
  /** @throws ReembedError CORRUPT if the object is missing or a row is invalid */
  read(store: Store, key: string): Promise<Row[]>
  /** As `ObjectKind.put`. */
  put(store: Store, key: string, rows: readonly Row[]): Promise<'created' | 'exists'>
}

/** Declares a kind of rows. `shape` is that of the list. */
export function rowsKind<Row>({
  noun,
  shape,
}: Pick<ObjectKindOptions<Row>, 'noun' | 'shape'>): RowsKind<Row> {
  return {
    async read(store, key) {
      return requireShape<Row[]>(shape, await getRows(store, key), `${key} in ${store.url} is not ${noun}`)
    },
    async put(store, key, rows) {
      const wrong = shape(rows, '')
      requireReadable(wrong && invalid(wrong), key, noun)
      return putRows(store, key, rows)
    },
  }
}

const formatShape: Shape = (value, path) => format1((value as { format?: unknown }).format, `${path}format`)

const invalid = (path: string): string => `${path === '' ? 'the value' : path} is invalid`

function requireReadable(wrong: string | undefined, key: string, noun: string): void {
  if (wrong === undefined) return
  throw new ReembedError(
    'INTERNAL',
    `${key} was not written, because no reader would accept it as ${noun}: ${wrong}. Report this: it is a fault of reembed`,
  )
}
