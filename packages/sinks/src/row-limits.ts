// What a consumer refuses in a row: long ids, long values, characters. All rows are checked before
// the first file is written, because a consumer that refuses a row in the middle of a load leaves
// half a table, and because one offender after the other is no way to clean a corpus.

import type { ConsumedRow, FlatColumn } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
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

/** Offenders that an error lists; it counts all. */
const LISTED = 10
const ID_CHARACTERS = 80

/** Collects the rows that a consumer refuses. */
export interface Offenders {
  add(id: string, problem: string): void
  /** @throws ReembedError USAGE with the number of all offenders and the first of them */
  throwIfAny(): void
}

export function createOffenders(consumer: string): Offenders {
  const listed: string[] = []
  let count = 0
  return {
    add(id, problem) {
      count += 1
      if (listed.length < LISTED) listed.push(`${JSON.stringify(id.slice(0, ID_CHARACTERS))}: ${problem}`)
    },
    throwIfAny() {
      if (count === 0) return
      const others = count > listed.length ? `\n  and ${count - listed.length} more` : ''
      throw new ReembedError(
        'USAGE',
        `${consumer} cannot store ${count} of the documents:\n  ${listed.join('\n  ')}${others}.\nChange them in the corpus, carry other columns, export to another layout, or leave them out`,
        { option: 'skipRefused' },
      )
    },
  }
}
