// CSV and TSV (RFC 4180). papaparse finds the fields. It receives the bytes as latin1, so that its
// string offsets are file offsets, invalid UTF-8 can be detected, and only the needed columns are
// decoded.
//
// A line break may be inside quotes, so record starts are known only from a read from the start:
// the plan stores them.

import { isUtf8 } from 'node:buffer'
import type { CsvTable, PartRead, SlicePart, SourceRecord } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import Papa from 'papaparse'
import { streamContent } from './decompress.ts'
import { BOM_BYTES, hasBom, requireUtf8 } from './format.ts'
import type { ReadPartOptions } from './jsonl.ts'
import { INVALID_UTF8, MAX_RECORD_BYTES } from './record-values.ts'
import { createReject } from './reject.ts'

/** A row as it is in the file, one character for each byte. */
export interface CsvRow {
  readonly fields: readonly string[]
  readonly start: number
  readonly end: number
  /** Number of lines that the row occupies. */
  readonly lineCount: number
}

export interface CsvScanner {
  /** Scans the next bytes. @throws ReembedError SOURCE_FORMAT for a record over the limit. */
  push(chunk: Uint8Array): void
  /**
   * Ends the last record, which may lack its line break. @throws ReembedError SOURCE_FORMAT for an
   * unclosed quote.
   */
  finish(): void
}

/**
 * Passes on all rows, blank ones included, of an object that is read from `start`, where a record
 * begins.
 */
export function createCsvScanner(
  { key, delimiter, start }: { readonly key: string; readonly delimiter: string; readonly start: number },
  onRow: (row: CsvRow) => void,
): CsvScanner {
  let held = ''
  /**
   * If the held text contains no record end, it is parsed again only after it has doubled: linear
   * total cost.
   */
  let parseAt = 0
  let offset = start
  let lines = 0

  function parse(text: string, whole: boolean): void {
    let from = 0
    const parser = new Papa.Parser({
      delimiter,
      newline: '\n',
      step({ data, errors, meta }: Papa.ParseStepResult<unknown>) {
        const [fields = []] = data as string[][]
        if (errors[0]) throw csvFormatError(key, lines + 1, errors[0].message)
        const isLeftOver = whole && meta.cursor === from
        if (!isLeftOver) {
          const rowLines = linesOf(fields)
          onRow({ fields, start: offset + from, end: offset + meta.cursor, lineCount: rowLines })
          lines += rowLines
        }
        from = meta.cursor
      },
    })
    const { errors } = parser.parse(text, 0, !whole) as Papa.ParseResult<unknown>
    // An error in an incomplete record is not final: the chunk may end between '"\r' and '\n'.
    if (whole && errors[0]) throw csvFormatError(key, lines + 1, errors[0].message)
    offset += from
    held = text.slice(from)
  }

  return {
    push(chunk) {
      const text = held + Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1')
      if (text.length < parseAt) {
        held = text
        return
      }
      parse(text, false)
      parseAt = held.length === text.length ? Math.min(2 * text.length, MAX_RECORD_BYTES + 1) : 0
      if (held.length > MAX_RECORD_BYTES) {
        throw csvFormatError(
          key,
          lines + 1,
          `the record is longer than ${MAX_RECORD_BYTES} bytes: check for an unclosed quote`,
        )
      }
    },
    finish() {
      if (held !== '') parse(held, true)
    },
  }
}

function linesOf(fields: readonly string[]): number {
  let lines = 1
  for (const field of fields) {
    for (let at = field.indexOf('\n'); at !== -1; at = field.indexOf('\n', at + 1)) lines += 1
  }
  return lines
}

const csvFormatError = (key: string, line: number, what: string): ReembedError =>
  new ReembedError('SOURCE_FORMAT', `${JSON.stringify(key)}, line ${line} of the part that was read: ${what}`)

/** Whether the line of the row is empty. */
export const isBlankRow = ({ fields }: CsvRow): boolean =>
  fields.length === 1 && (fields[0] === '' || fields[0] === '\r')

/**
 * Parses the header of a table: its first row names the columns; the most frequent separator in it
 * is the delimiter.
 */
export function parseHeader(key: string, format: 'csv' | 'tsv', head: Buffer): CsvTable {
  requireUtf8(key, head)
  const text = head.toString('latin1', hasBom(head) ? BOM_BYTES : 0)
  const line = text.replace(/"[^"]*"/g, quoted => '_'.repeat(quoted.length)).split('\n', 1)[0] ?? ''
  const counts = [',', ';', '\t', '|'].map(delimiter => ({ delimiter, count: line.split(delimiter).length }))
  const { delimiter } = counts.reduce((most, one) => (one.count > most.count ? one : most))
  const table = { delimiter: format === 'tsv' ? '\t' : delimiter, columns: [] as string[] }
  const scanner = createCsvScanner({ key, delimiter: table.delimiter, start: 0 }, row => {
    if (table.columns.length > 0 || isBlankRow(row)) return
    table.columns.push(
      ...fieldsOf(row).map(name => String(decode(name) === INVALID_UTF8 ? name : decode(name))),
    )
  })
  scanner.push(Buffer.from(text, 'latin1'))
  if (table.columns.length === 0) scanner.finish()
  return table
}

/**
 * The fields of a row without the '\r' of a Windows line break, of which only the '\n' ends the
 * record.
 */
function fieldsOf({ fields }: CsvRow): readonly string[] {
  const last = fields.at(-1)
  return last?.endsWith('\r') ? [...fields.slice(0, -1), last.slice(0, -1)] : fields
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: all that is not ASCII
const NOT_ASCII = /[^\x00-\x7f]/

function decode(field: string): string | object {
  if (!NOT_ASCII.test(field)) return field
  const bytes = Buffer.from(field, 'latin1')
  return isUtf8(bytes) ? bytes.toString('utf8') : INVALID_UTF8
}

/**
 * Returns a function that converts a row to a record of the `needed` columns, or to an error
 * message.
 */
export function createRowParser(
  { columns }: CsvTable,
  needed: readonly string[] = columns,
): (row: CsvRow) => object | string {
  const places = needed.flatMap(name => {
    const place = columns.indexOf(name)
    return place === -1 || name === '__proto__' ? [] : [{ name, place }]
  })
  return row => {
    const fields = fieldsOf(row)
    if (fields.length !== columns.length) {
      return `the record has ${fields.length} fields, the header has ${columns.length}`
    }
    const record: Record<string, unknown> = {}
    for (const { name, place } of places) record[name] = decode(fields[place] ?? '')
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
  const toRecord = createRowParser(table, mapper.paths)
  let records: SourceRecord[] = []
  let lines = 0
  let reached = start
  let header = start === 0
  const bom = start === 0 ? await bomBytes(store, part, signal) : 0
  reached += bom
  const scanner = createCsvScanner({ key, delimiter: table.delimiter, start: start + bom }, row => {
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
  for await (const chunk of streamContent(store, { ...part, start: start + bom }, signal)) {
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
  return { key, etag, start, end, lines }
}

async function bomBytes(store: Store, part: SlicePart, signal: AbortSignal | undefined): Promise<number> {
  const head: Uint8Array[] = []
  for await (const chunk of streamContent(store, { ...part, end: Math.min(part.end, BOM_BYTES) }, signal))
    head.push(chunk)
  return hasBom(Buffer.concat(head)) ? BOM_BYTES : 0
}
