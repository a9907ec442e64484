// Finds the dialect of a CSV object from its first bytes: separator, quotes, escapes and columns.
// Options of the user are taken as they are. A dialect that would lose records is refused.

import type { CsvDialect, CsvTable } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import { requireUtf8 } from '../format.ts'
import { isInvalidUtf8 } from '../value/record-values.ts'
import { textOfBytes } from '../value/text-of-bytes.ts'
import { type CsvRow, type CsvSyntax, createCsvScanner, isBlankRow } from './csv-scanner.ts'

/** The dialect is found from so many bytes of the content. */
export const DIALECT_BYTES: number = 64 * 1024
const SEPARATORS = [',', ';', '\t', '|'] as const

/**
 * The table of an object of which `head` are the first bytes, at least DIALECT_BYTES if it has so
 * many. @throws ReembedError SOURCE_FORMAT if it is no text, or a column name occurs twice
 */
export function findTable(
  key: string,
  format: 'csv' | 'tsv',
  head: Buffer,
  wanted: CsvDialect = {},
): CsvTable {
  requireUtf8(key, head)
  const bytes = head.subarray(0, DIALECT_BYTES)
  if (!bytes.includes(10) && bytes.includes(13)) {
    throw new ReembedError(
      'SOURCE_FORMAT',
      `${JSON.stringify(key)} has line breaks of one carriage return (\\r): convert them to \\n`,
    )
  }
  const isWhole = head.length <= DIALECT_BYTES
  const syntax = findSyntax(key, format, bytes, isWhole, wanted)
  const [first] = rowsOf(key, syntax, bytes, isWhole)
  if (first?.fault !== undefined) {
    throw new ReembedError(
      'SOURCE_FORMAT',
      `${JSON.stringify(key)} has a first line that cannot be read, because ${first.fault}: set its quote and escape`,
      { option: 'csv' },
    )
  }
  const names = (first?.fields ?? []).map(decodeField)
  const hasHeader = wanted.header ?? true
  const columns = hasHeader
    ? names.map((name, i) => (isInvalidUtf8(name) ? (first?.fields[i] ?? '') : String(name)))
    : names.map((_, i) => `column${i + 1}`)
  return {
    delimiter: syntax.delimiter,
    columns,
    quote: syntax.quote,
    ...(syntax.escaping === 'backslash' && { escaping: syntax.escaping }),
    ...(!hasHeader && { header: false }),
  }
}

/** The syntax of a table of a plan. Plans without a quote were made for double quotes. */
export const syntaxOf = ({ delimiter, quote = '"', escaping = 'double', columns }: CsvTable): CsvSyntax => ({
  delimiter,
  quote,
  escaping,
  width: columns.length,
})

function findSyntax(
  key: string,
  format: 'csv' | 'tsv',
  head: Buffer,
  isWhole: boolean,
  { delimiter: wantedDelimiter, quote, escaping }: CsvDialect,
): CsvSyntax {
  const delimiter = wantedDelimiter ?? (format === 'tsv' ? '\t' : separatorOf(head, quote ?? '"'))
  const of = (quote: string | null, escaping: CsvSyntax['escaping']): CsvSyntax => ({
    delimiter,
    quote,
    escaping,
  })
  // Tab-separated files have no quoting: a quote is text, as in the files of MS MARCO and of MySQL.
  if (quote === null || (quote === undefined && format === 'tsv' && escaping === undefined))
    return of(null, 'double')
  const mark = quote ?? '"'
  if (escaping !== undefined) return of(mark, escaping)
  const rowsIn = (syntax: CsvSyntax): CsvRow[] => rowsOf(key, syntax, head, isWhole)
  const quoted = [of(mark, 'double'), of(mark, 'backslash')].map(syntax => ({ syntax, rows: rowsIn(syntax) }))
  const [best] = quoted.sort((a, b) => faultsOf(a.rows) - faultsOf(b.rows))
  const bare = of(null, 'double')
  const isText = quote === undefined && areQuotesText(best?.rows ?? []) && faultsOf(rowsIn(bare)) === 0
  return isText ? bare : (best?.syntax ?? bare)
}

/**
 * Whether quotes are text rather than the marks of a writer that quotes. Such a writer leaves no
 * bare quote, and encloses more rows than a broken one spoils: one broken row must not put the
 * quotes of all others into their texts.
 */
function areQuotesText(rows: readonly CsvRow[]): boolean {
  const enclosed = rows.filter(({ quotes }) => quotes?.enclosed).length
  const bare = rows.filter(({ quotes }) => quotes?.bare).length
  const faults = faultsOf(rows)
  return bare > 0 ? enclosed <= faults + bare : enclosed < faults
}

/** The most frequent separator of the first line, outside of quotes. */
function separatorOf(head: Buffer, quote: string): string {
  const [line = ''] = head.toString('latin1').split('\n', 1)
  const unquoted = line
    .split(quote)
    .filter((_, i) => i % 2 === 0)
    .join('')
  const counts = SEPARATORS.map(separator => unquoted.split(separator).length)
  return SEPARATORS[counts.indexOf(Math.max(...counts))] ?? ','
}

function rowsOf(key: string, syntax: CsvSyntax, head: Buffer, isWhole: boolean): CsvRow[] {
  const rows: CsvRow[] = []
  const scanner = createCsvScanner({ ...syntax, key, start: 0 }, row => {
    if (!isBlankRow(row)) rows.push(row)
  })
  scanner.push(head)
  if (isWhole || rows.length === 0) scanner.finish()
  return rows
}

const faultsOf = (rows: readonly CsvRow[]): number => {
  const [first] = rows
  return rows.filter(({ fault, fields }) => fault !== undefined || fields.length !== first?.fields.length)
    .length
}

/** The value of a field; INVALID_UTF8 if its bytes are no text. */
export function decodeField(field: string): string | object {
  return NOT_ASCII.test(field) ? textOfBytes(Buffer.from(field, 'latin1')) : field
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: all that is not ASCII
const NOT_ASCII = /[^\x00-\x7f]/
