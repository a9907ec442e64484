// Parquet: cut by rows, at row groups where possible. Only the needed columns of a slice are read,
// by ranges.

import type { PartRead, SlicePart, SourceObject, SourceRecord } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { ObjectIndex } from '../inspect/object-facts.ts'
import type { ReadPartOptions } from '../record-mapper.ts'
import { columnValues } from './parquet-column.ts'
import {
  leafColumnAt,
  leafColumnsOf,
  nestedColumnAt,
  type ParquetFooter,
  readParquetFooter,
  requireOneColumn,
} from './parquet-footer.ts'
import { nestedValues } from './parquet-nested.ts'

/** Reads only the footer. */
export async function indexParquet(
  store: Store,
  object: SourceObject,
  signal?: AbortSignal,
): Promise<ObjectIndex> {
  const { rows, groupStarts } = await readParquetFooter(store, object, signal)
  return { extent: rows, splitPoints: groupStarts.map(start => ({ start })) }
}

/**
 * Yields the records of a part and returns the range read. Holds one page of each needed column.
 */
export async function* readParquet(
  store: Store,
  part: SlicePart,
  { index, mapper, signal }: ReadPartOptions,
): AsyncGenerator<SourceRecord[], PartRead, undefined> {
  const { key, etag, start, end } = part
  const footer = await readParquetFooter(store, part, signal)
  if (end > footer.rows) {
    throw new ReembedError(
      'CORRUPT',
      `${JSON.stringify(key)} has ${footer.rows} rows, expected at least ${end}`,
    )
  }
  let row = start
  for await (const rows of parquetRows(store, part, { footer, paths: mapper.paths, start, end, signal })) {
    yield rows.map(record => {
      const position = { part: index, offset: row, line: row - start + 1 }
      row += 1
      return mapper.map(record, position)
    })
  }
  return { key, etag, start, end: row, lines: row - start }
}

interface RowsOptions {
  readonly footer: ParquetFooter
  /** Fields that the object lacks are omitted from the records. */
  readonly paths: readonly string[]
  readonly start: number
  readonly end: number
  readonly signal?: AbortSignal | undefined
}

/** Yields the rows as records with one member for each path, at most ROWS_AT_ONCE at a time. */
export async function* parquetRows(
  store: Store,
  { key, etag }: Pick<SlicePart, 'key' | 'etag'>,
  { footer, paths, start, end, signal }: RowsOptions,
): AsyncGenerator<Record<string, unknown>[], void, undefined> {
  const leaves = leafColumnsOf(footer)
  const columnAt = (path: string) => {
    requireOneColumn(key, footer, path)
    return leafColumnAt(leaves, path) ?? nestedColumnAt(footer, path) ?? []
  }
  // Assigning to `__proto__` makes no member. An object without prototype avoids that but is read
  // three times slower.
  const needed = paths.flatMap(path => (path === '__proto__' ? [] : columnAt(path)))
  const stream = (from: number, to: number) =>
    store.stream(key, { start: from, end: to, ifMatch: etag, signal })

  for (const [place, group] of footer.metadata.row_groups.entries()) {
    const groupStart = footer.groupStarts[place] ?? 0
    const from = Math.max(start, groupStart) - groupStart
    const to = Math.min(end - groupStart, Number(group.num_rows))
    if (from >= to) continue
    const columns = needed.map(column => ({
      path: column.path,
      values:
        'leaves' in column
          ? nestedValues({ key, stream, group, nested: column, from, to })
          : columnValues({ key, stream, group, leaf: column, from, to }),
    }))
    yield* zip(columns, to - from)
  }
}

interface Column {
  readonly path: string
  readonly values: AsyncGenerator<ArrayLike<unknown>, void, undefined>
}

/**
 * A page of one repeated value can have millions of rows, which must not become records at the same
 * time.
 */
const ROWS_AT_ONCE = 8_192

/**
 * Joins columns to records. Pages end at different rows, so a batch extends to the end of the
 * shortest current page.
 */
async function* zip(
  columns: readonly Column[],
  rows: number,
): AsyncGenerator<Record<string, unknown>[], void, undefined> {
  const open = columns.map(column => ({ ...column, page: [] as ArrayLike<unknown>, at: 0 }))
  try {
    for (let done = 0; done < rows; ) {
      let count = Math.min(rows - done, ROWS_AT_ONCE)
      for (const column of open) {
        if (column.at === column.page.length) {
          const next = await column.values.next()
          column.page = next.done ? [] : next.value
          column.at = 0
        }
        count = Math.min(count, column.page.length - column.at)
      }
      const records: Record<string, unknown>[] = []
      for (let row = 0; row < count; row++) {
        const record: Record<string, unknown> = {}
        for (const { path, page, at } of open) record[path] = page[at + row]
        records.push(record)
      }
      for (const column of open) column.at += count
      done += count
      if (count > 0) yield records
    }
  } finally {
    await Promise.all(columns.map(({ values }) => values.return()))
  }
}
