// Checks the rows of a CSV object whose quotes were found, not given. A quoted field over several
// lines, each of which is a record by itself, may be a lone quote that swallows records:
//
//   1,"open          one record, or two whose texts begin and end with a quote
//   2,b"
//
// Only other rows can tell. A writer that quotes puts every field with a separator, a line break or
// a quote in quotes, so its file has rows that are records with quotes alone, and no quote that
// breaks the rules. A writer that does not quote leaves no such row.

import type { CsvTable } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { CsvRow } from './csv-scanner.ts'

export interface SwallowCheck {
  /** Takes every row in order, with the number of its first line. */
  add(row: CsvRow, line: number): void
  /** @throws ReembedError SOURCE_FORMAT if records may be lost */
  finish(): void
}

export function createSwallowCheck(key: string, { delimiter, columns, quote = '"' }: CsvTable): SwallowCheck {
  const kinds = new Set<string>()
  /** The first row that may swallow records, and the number of these rows. */
  let first: { readonly line: number; readonly end: number } | undefined
  let doubtful = 0
  /**
   * Rows that are records with quotes alone, and rows whose quotes no writer that quotes leaves.
   */
  let proving = 0
  let broken = 0

  const linesOf = (text: string): string[][] =>
    text
      .replace(/\r?\n$/, '')
      .split('\n')
      .map(each => each.split(delimiter))
  const looksLikeRecord = (fields: readonly string[]): boolean =>
    kinds.has(kindOf((fields[0] ?? '').replaceAll(quote ?? '', '')))

  return {
    add({ fields, text, lineCount, quotes, fault }, line) {
      if (quote === null) return
      // A second header: the object was joined of files, which may have several writers.
      if (fault !== undefined || quotes?.bare || (line > 1 && columns.every((name, i) => name === fields[i])))
        broken += 1
      if (fault !== undefined || fields.length !== columns.length) return
      kinds.add(kindOf(fields[0] ?? ''))
      const lines = text === undefined ? undefined : linesOf(text)
      const isQuoteText = lines === undefined || lines.every(each => each.length === columns.length)
      if (
        lines === undefined
          ? quotes?.enclosed && fields.some(field => field.includes(delimiter))
          : !isQuoteText
      )
        proving += 1
      if (lines && isQuoteText && lines.slice(1).every(looksLikeRecord)) {
        doubtful += 1
        first ??= { line, end: line + lineCount - 1 }
      }
    },
    finish() {
      if (first === undefined || (broken === 0 && proving > doubtful)) return
      throw new ReembedError(
        'SOURCE_FORMAT',
        `${JSON.stringify(key)}: the quoted field at line ${first.line} ends at line ${first.end}, and each of these lines is a record by itself. ` +
          'If quotes are part of the text, read it without quotes; if the field is meant, set the quote',
        { option: 'csv' },
      )
    },
  }
}

/** Which kinds of characters a field has: ids of one file have the same. */
const kindOf = (text: string): string =>
  [/\d/, /[a-zA-Z]/, /[^\da-zA-Z]/].map(kind => (kind.test(text) ? '1' : '0')).join('')
