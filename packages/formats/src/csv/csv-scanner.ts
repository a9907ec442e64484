// Splits bytes of CSV or TSV into rows. It works on latin1 strings, one character for each byte, so
// that offsets in the text are offsets in the file and only the needed fields are decoded.
//
// A row that breaks the rules of its dialect ends at its first line break, with a fault: an
// unclosed quote costs one line, never the records behind it. Each line of the file is in exactly
// one row.

import { ReembedError } from '@reembed/shared'
import { MAX_RECORD_BYTES } from '../value/record-values.ts'

/** How the fields of a row are written. */
export interface CsvSyntax {
  readonly delimiter: string
  /** The quote around fields; null if quotes are text. */
  readonly quote: string | null
  /** How a quote in a quoted field is written: twice, or behind a backslash. */
  readonly escaping: 'double' | 'backslash'
  /** Number of fields of a row. A row of several lines with another number is broken. */
  readonly width?: number
}

export interface CsvRow {
  /** One character for each byte; empty for a row with a fault. */
  readonly fields: readonly string[]
  readonly start: number
  readonly end: number
  /** Number of lines that the row occupies. */
  readonly lineCount: number
  /** The row as it is in the file, if it has several lines. */
  readonly text?: string
  /** How the row uses quotes, if it has any. */
  readonly quotes?: QuoteUse
  /** Why the row cannot be read. */
  readonly fault?: string
}

export interface QuoteUse {
  /** A field is in quotes. */
  readonly enclosed: boolean
  /** A field that is not in quotes has one, which no writer that quotes leaves. */
  readonly bare: boolean
}

export interface CsvScanner {
  /** Scans the next bytes. @throws ReembedError SOURCE_FORMAT for a line over the limit. */
  push(chunk: Uint8Array): void
  /** Ends the last row, which may lack its line break. */
  finish(): void
}

/**
 * Passes on all rows, blank ones included, of an object that is read from `start`, where a row
 * begins.
 */
export function createCsvScanner(
  { key, start, ...syntax }: CsvSyntax & { readonly key: string; readonly start: number },
  onRow: (row: CsvRow) => void,
): CsvScanner {
  let held = ''
  /** A held row without an end is parsed again only after it has doubled: linear total cost. */
  let parseAt = 0
  let offset = start
  let lines = 0

  function emit(row: FoundRow, from: number): void {
    lines += row.lineCount
    onRow({ ...row, start: offset + from, end: offset + row.end })
  }

  /** The first line of a row over the limit: an unclosed quote costs no more than this line. */
  function firstLine(text: string, from: number): FoundRow {
    const newline = text.indexOf('\n', from)
    const end = newline === -1 ? text.length : newline + 1
    if (end - from > MAX_RECORD_BYTES) {
      throw new ReembedError(
        'SOURCE_FORMAT',
        `${JSON.stringify(key)}, line ${lines + 1} of the part that was read: the line is longer than ${MAX_RECORD_BYTES} bytes`,
      )
    }
    const fault = `the record is longer than ${MAX_RECORD_BYTES} bytes: check for an unclosed quote`
    return { fields: [], end, lineCount: 1, fault }
  }

  function parse(text: string, isWhole: boolean): void {
    const find = rowFinder(syntax, text, isWhole)
    let from = 0
    while (from < text.length) {
      const row = find(from)
      if (row === undefined) break
      const fits = row.end - from <= MAX_RECORD_BYTES ? row : firstLine(text, from)
      emit(fits, from)
      from = fits.end
    }
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
      while (held.length > MAX_RECORD_BYTES) {
        const row = firstLine(held, 0)
        emit(row, 0)
        offset += row.end
        parse(held.slice(row.end), false)
      }
    },
    finish() {
      if (held !== '') parse(held, true)
    },
  }
}

type FoundRow = Pick<CsvRow, 'fields' | 'lineCount' | 'text' | 'quotes' | 'fault'> & {
  readonly end: number
}

const BOM = '\xEF\xBB\xBF'

/**
 * Returns a function that finds the row at an offset of the text; undefined if the text ends before
 * the row does. Offsets must ascend.
 */
function rowFinder(
  { delimiter, quote, escaping, width }: CsvSyntax,
  text: string,
  isWhole: boolean,
): (from: number) => FoundRow | undefined {
  /** The first quote at or behind the row. */
  let nextQuote = -1
  return start => {
    const newline = text.indexOf('\n', start)
    if (newline === -1 && !isWhole) return undefined
    const lineEnd = newline === -1 ? text.length : newline
    const end = newline === -1 ? text.length : newline + 1
    // A byte order mark begins each file that was joined into this one.
    const from = text.startsWith(BOM, start) ? start + BOM.length : start
    if (nextQuote < start && quote !== null) {
      nextQuote = text.indexOf(quote, start)
      if (nextQuote === -1) nextQuote = Number.POSITIVE_INFINITY
    }
    if (quote === null || nextQuote >= lineEnd) {
      return {
        fields: text.slice(from, withoutReturn(text, from, lineEnd)).split(delimiter),
        end,
        lineCount: 1,
      }
    }
    const row = quotedRow(text, from, { delimiter, quote, escaping }, isWhole)
    if (row === undefined) return undefined
    if (typeof row === 'string') return { fields: [], end, lineCount: 1, fault: row }
    if (row.lineCount === 1 || row.fields.length === (width ?? row.fields.length)) return row
    const fault = `a quoted field over several lines leaves ${row.fields.length} fields, the header has ${width}`
    return { fields: [], end, lineCount: 1, fault }
  }
}

/** The end of a line without the '\r' of a Windows line break. */
const withoutReturn = (text: string, from: number, lineEnd: number): number =>
  lineEnd > from && text[lineEnd - 1] === '\r' ? lineEnd - 1 : lineEnd

/** A row with quotes; its fault; or undefined if the text ends before the row does. */
function quotedRow(
  text: string,
  start: number,
  { delimiter, quote, escaping }: CsvSyntax & { readonly quote: string },
  isWhole: boolean,
): FoundRow | string | undefined {
  const fields: string[] = []
  let lineCount = 1
  const quotes = { enclosed: false, bare: false }
  let at = start
  while (true) {
    if (text[at] === quote) {
      quotes.enclosed = true
      const close = closingQuote(text, at + 1, quote, escaping)
      if (close === -1) return isWhole ? 'a quote is opened and not closed' : undefined
      const raw = text.slice(at + 1, close)
      fields.push(unescaped(raw, quote, escaping))
      lineCount += raw.split('\n').length - 1
      at = close + 1
      // Spaces behind a closing quote are not part of the field.
      while (text[at] === ' ' && delimiter !== ' ') at += 1
      if (text[at] === '\r' && (text[at + 1] === '\n' || (isWhole && at + 1 === text.length))) at += 1
      else if (!isWhole && at + 1 >= text.length && text[at] !== '\n' && text[at] !== delimiter)
        return undefined
    } else {
      const newline = text.indexOf('\n', at)
      if (newline === -1 && !isWhole) return undefined
      const lineEnd = newline === -1 ? text.length : newline
      const cut = text.indexOf(delimiter, at)
      const isLast = cut === -1 || cut > lineEnd
      const field = text.slice(at, isLast ? withoutReturn(text, at, lineEnd) : cut)
      quotes.bare ||= field.includes(quote)
      fields.push(field)
      at = isLast ? lineEnd : cut
    }
    if (at >= text.length || text[at] === '\n') {
      const end = Math.min(text.length, at + 1)
      return { fields, end, lineCount, quotes, ...(lineCount > 1 && { text: text.slice(start, end) }) }
    }
    if (text[at] !== delimiter) return 'a closing quote is followed by more text'
    at += 1
  }
}

function closingQuote(text: string, start: number, quote: string, escaping: CsvSyntax['escaping']): number {
  let at = start
  while (true) {
    const close = text.indexOf(quote, at)
    if (close === -1) return -1
    if (escaping === 'backslash' && isEscaped(text, start, close)) at = close + 1
    else if (text[close + 1] === quote) at = close + 2
    else return close
  }
}

function isEscaped(text: string, start: number, at: number): boolean {
  let backslashes = 0
  while (at - 1 - backslashes >= start && text[at - 1 - backslashes] === '\\') backslashes += 1
  return backslashes % 2 === 1
}

function unescaped(raw: string, quote: string, escaping: CsvSyntax['escaping']): string {
  if (escaping === 'double') return raw.includes(quote) ? raw.replaceAll(quote + quote, quote) : raw
  // Other characters keep their backslash, as Spark reads them.
  return raw.includes('\\') || raw.includes(quote)
    ? raw.replace(/\\[\s\S]|""|''/g, pair =>
        pair[1] === quote || pair === '\\\\' ? (pair[1] as string) : pair,
      )
    : raw
}

/** Whether the line of the row is empty. */
export const isBlankRow = ({ fields, fault }: CsvRow): boolean =>
  fault === undefined && fields.length === 1 && fields[0] === ''
