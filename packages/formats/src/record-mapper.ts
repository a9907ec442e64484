// What a reader of records needs from its caller: the fields to read, and what to make of a record.

import type { Position, SourceRecord } from '@reembed/protocol'

/** The number of values of each carried column that it cannot hold and that became null. */
export type NulledValues = Readonly<Record<string, number>>

export interface Mapper {
  /** Paths of all needed fields. Records of a table need only these members, by path. */
  readonly paths: readonly string[]
  map(record: object, position: Position): SourceRecord
  /** Whether a needed field may be a number that its reader rounded: it must be parsed exactly. */
  needsExactNumbers(record: object): boolean
  /** The values that became null so far. */
  readonly nulled: NulledValues
}

export interface ReadPartOptions {
  /** Index of the part in its slice. */
  readonly index: number
  readonly mapper: Mapper
  readonly signal?: AbortSignal | undefined
}
