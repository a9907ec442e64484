// What a consumer refuses in a row: long ids, long values, characters.

import type { ConsumedRow, FlatColumn } from '@reembed/shard'
import { type RowLimits, toJson } from './layout.ts'

/** Why the consumer refuses the row; undefined where it accepts it. */
export function problemOf(
  { id, record }: ConsumedRow,
  columns: readonly FlatColumn[],
  limits: RowLimits,
): string | undefined {
  const { idBytes, idLength, stringBytes, metadataBytes, characters } = limits
  if (idBytes !== undefined && Buffer.byteLength(id) > idBytes)
    return `an id of ${Buffer.byteLength(id)} bytes, at most ${idBytes} are possible`
  if (idLength !== undefined && id.length > idLength)
    return `an id of ${id.length} characters, at most ${idLength} are possible`
  if (characters?.pattern.test(id)) return `${characters.name} in the id`
  for (const column of columns) {
    const value = record[column.name]
    if (typeof value !== 'string') continue
    if (characters?.pattern.test(value)) return `${characters.name} in the column ${column.name}`
    const most = stringBytes?.(column)
    // A UTF-16 unit is at most three bytes.
    if (most !== undefined && value.length * 3 > most && Buffer.byteLength(value) > most)
      return `${Buffer.byteLength(value)} bytes in the column ${column.name}, at most ${most} are possible`
  }
  if (metadataBytes !== undefined) {
    const bytes = Buffer.byteLength(toJson(record))
    if (bytes > metadataBytes) return `${bytes} bytes of metadata, at most ${metadataBytes} are possible`
  }
  return undefined
}
