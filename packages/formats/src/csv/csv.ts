// Reads parts of CSV and TSV objects. A line break may be inside quotes, so record starts are known
// only from a read from the start: the plan stores them.

import type { CsvTable, PartRead, SlicePart, SourceRecord } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { streamContent } from '../bytes/decompress.ts'
import type { ReadPartOptions } from '../record-mapper.ts'
import { createReject } from '../reject.ts'
import { requireOne } from '../value/one-name.ts'
import { decodeField, syntaxOf } from './csv-dialect.ts'
import { type CsvRow, createCsvScanner, isBlankRow } from './csv-scanner.ts'

/**
 * Returns a function that converts a row to a record of the `needed` columns, or to an error
 * message. @throws ReembedError SOURCE_FORMAT if a needed column occurs twice
 */
export function createRowParser(
  key: string,
  { columns, header }: CsvTable,
  needed: readonly string[] = [...new Set(columns)],
): (row: CsvRow) => object | string {
  const places = needed.flatMap(name => {
    requireOne(key, columns, name)
    const place = columns.indexOf(name)
    return place === -1 || name === '__proto__' ? [] : [{ name, place }]
  })
  // Fields have one character for each byte.
  const headerFields = columns.map(name => Buffer.from(name).toString('latin1'))
  return ({ fields, fault }) => {
    if (fault !== undefined) return fault
    if (fields.length !== columns.length) {
      return `the record has ${fields.length} fields, the header has ${columns.length}`
    }
    // The header of a file that was joined to this one.
    if (header !== false && fields.every((field, i) => field === headerFields[i]))
      return 'the line repeats the header'
    const record: Record<string, unknown> = {}
    for (const { name, place } of places) record[name] = decodeField(fields[place] ?? '')
    return record
  }
}

/**
 * Yields the records of one part in order and returns the range read. Holds one chunk and one
 * unfinished record.
 */
export async function* readCsv(
  store: Store,
  part: SlicePart,
  { index, mapper, signal }: ReadPartOptions,
): AsyncGenerator<SourceRecord[], PartRead, undefined> {
  const { key, etag, start, end, table } = part
  if (table === undefined)
    throw new ReembedError(
      'JOB_INVALID',
      `the plan has no columns for ${JSON.stringify(key)}: plan the run again`,
    )
  const toRecord = createRowParser(key, table, mapper.paths)
  let records: SourceRecord[] = []
  let lines = 0
  let reached = start
  let header = start === 0 && table.header !== false
  const scanner = createCsvScanner({ ...syntaxOf(table), key, start }, row => {
    const position = { part: index, offset: row.start, line: lines + 1 }
    lines += row.lineCount
    reached = row.end
    if (isBlankRow(row)) return
    if (header) {
      header = false
      return
    }
    const record = toRecord(row)
    records.push(
      typeof record === 'string'
        ? createReject('invalid_record', record, position)
        : mapper.map(record, position),
    )
  })
  const counter = createLineCounter()
  for await (const chunk of streamContent(store, part, signal)) {
    counter.add(chunk)
    scanner.push(chunk)
    if (records.length > 0) yield records
    records = []
  }
  scanner.finish()
  if (records.length > 0) yield records
  if (reached !== end) {
    throw new ReembedError(
      'CORRUPT',
      `reading ${JSON.stringify(key)} ended at byte ${reached}, expected ${end}`,
      {
        retry: 'retry',
      },
    )
  }
  counter.require(key, lines)
  return { key, etag, start, end, lines }
}

interface LineCounter {
  add(chunk: Uint8Array): void
  /** @throws ReembedError INTERNAL if the rows do not account for each line of the bytes */
  require(key: string, lines: number): void
}

/** Counts lines by their line breaks alone, to prove that no row of the dialect lost one. */
function createLineCounter(): LineCounter {
  let lines = 0
  let endsInLine = false
  return {
    add(chunk) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, at + 1)) lines += 1
      if (bytes.length > 0) endsInLine = bytes.at(-1) !== 10
    },
    require(key, read) {
      const found = lines + (endsInLine ? 1 : 0)
      if (found === read) return
      throw new ReembedError(
        'INTERNAL',
        `the records of ${JSON.stringify(key)} have ${read} lines, but the part that was read has ${found}`,
      )
    },
  }
}
