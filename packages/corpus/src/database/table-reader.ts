// What a run copies from a database: a table, a view or a collection, read row by row.

import { pathSegments } from '@reembed/formats'
import type { DatabaseTable } from '@reembed/protocol'

/** A row as a line of JSON, without its line break. */
export interface TableRow {
  /** The text that orders the rows; empty for null. */
  readonly key: Buffer
  readonly json: Buffer
}

export interface TableSample {
  readonly lines: Buffer
  readonly rows: number
  /** Whether these are all rows. */
  readonly isWhole: boolean
}

export interface TableReader {
  readonly format: DatabaseTable['format']
  /** `postgres://host:port/database` or `qdrant+https://host:port`, without credentials. */
  readonly address: string
  /** The name as it was given. */
  readonly name: string
  /** Estimate of the server. */
  readonly estimatedRows: number
  /** All columns that can be read. */
  readonly sample: TableSample
  /** The field of the id unless the user names another; undefined: one of the usual names. */
  readonly id?: string
  /** False: rows that are edited while they are read may be read in either state. */
  readonly readsSnapshot: boolean
  /** @throws ReembedError FIELD_NOT_FOUND, USAGE for a path into a column that cannot be read */
  requireColumn?(path: string, option: string): void
  /**
   * Reads all rows in one order, some at a time. Nothing is read ahead.
   * @param columns paths of fields; only the columns that hold them are read
   */
  rows(
    columns: Iterable<string>,
    options: {
      /** The field that orders the rows, where the server can. */
      readonly key: string
      readonly onSnapshot: (snapshot: string) => void
      readonly signal?: AbortSignal | undefined
    },
  ): AsyncGenerator<readonly TableRow[], void, undefined>
}

/** Rows of the sample, and bytes after which it ends. */
export const SAMPLE_ROWS = 2_000
export const SAMPLE_BYTES: number = 8 * 2 ** 20

/** The top-level field that holds what a path names. */
export const topFieldOf = (path: string): string => pathSegments(path)[0] ?? path
