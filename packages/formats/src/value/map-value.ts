// The value of a map of a table.

import { INVALID_UTF8 } from './record-values.ts'
import { toText } from './to-text.ts'

/**
 * The object of a map's entries. INVALID_UTF8, which no column can hold, if a key occurs twice or
 * has no text.
 */
export function mapValue(entries: readonly (readonly [unknown, unknown])[]): object {
  const named = entries.map(([key, value]) => [toText(key), value] as const)
  const names = new Set(named.map(([name]) => name))
  if (names.size < named.length || names.has(undefined)) return INVALID_UTF8
  return Object.fromEntries(named as readonly (readonly [string, unknown])[])
}
