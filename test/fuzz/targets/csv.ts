// CSV and TSV: measured, cut and read again in slices, the rows are those of a parser that goes
// character by character.

import { isUtf8 } from 'node:buffer'
import { readSlice } from '@reembed/corpus'
import { indexObject, type ObjectIndex } from '@reembed/formats'
import type { PartRead, SlicePart, SourceRecord } from '@reembed/protocol'
import { choicesOf, memoryStore, must, refusing, type Target } from '../target.ts'

const ROWS = 'id,text,more\n1,"one ""two""\nthree",x\n2,two,\n\n3,"größe; 東京",y\r\n4,,"z"\n'

export const target: Target = {
  what: 'CSV and TSV, measured and cut',
  maxBytes: 1_200,
  maxMiB: 256,
  dictionary: ['id,text', '"', '""', '\r\n', '\n\n', ',', ';', '\t', '|', '\ufeff', '","', '"\n"'],
  seeds: () =>
    [
      ROWS,
      `\ufeff${ROWS.replaceAll(',', ';')}`,
      ROWS.replaceAll('\n', '\r\n'),
      ROWS.replaceAll(',', '\t'),
    ].flatMap(body => [
      Buffer.concat([Buffer.from([0, 255, 20]), Buffer.from(body)]),
      Buffer.concat([Buffer.from([1, 3, 5]), Buffer.from(body.repeat(2))]),
    ]),
  async check(input) {
    const choices = choicesOf(input, 3)
    const format = choices.number(2) === 0 ? 'csv' : 'tsv'
    const store = memoryStore(new Map([[format, choices.rest]]), { chunkBytes: 1 + choices.number(256) })
    const object = { key: format, size: choices.rest.length, etag: 'e', format } as const
    const sliceBytes = 1 + choices.number(256)
    const measured = await refusing(['SOURCE_FORMAT'], () => indexObject(store, object, { sliceBytes }))
    if (measured?.table === undefined) return
    must(measured.extent === object.size, () => `measured ${measured.extent} of ${object.size} bytes`)
    const readOnce = await refusing(['SOURCE_FORMAT'], () => readAll(store, object, measured))
    if (readOnce === undefined) return
    const { records, read } = readOnce
    let reached = 0
    for (const part of read) {
      must(
        part.start === reached,
        () => `a slice begins at ${part.start}, the one before ended at ${reached}`,
      )
      reached = part.end
    }
    must(reached === object.size, () => `bytes ${reached} to ${object.size} are in no slice`)
    const { delimiter, columns, quote, escaping } = measured.table
    const isTwice = (name: string) => columns.indexOf(name) !== columns.lastIndexOf(name)
    if (escaping === 'backslash' || isTwice('id') || isTwice('text')) return
    const rows =
      quote === null ? linesOf(choices.rest, delimiter) : rowsOf(choices.rest, delimiter, columns.length)
    const shown = JSON.stringify(records.map(contentOf))
    const wanted = JSON.stringify(expected(rows, columns))
    must(shown === wanted, () => `the rows are ${shown.slice(0, 300)}, expected ${wanted.slice(0, 300)}`)
  },
}

async function readAll(
  store: ReturnType<typeof memoryStore>,
  object: { key: string; size: number; etag: string; format: 'csv' | 'tsv' },
  { splitPoints, extent, table }: ObjectIndex,
): Promise<{ records: SourceRecord[]; read: PartRead[] }> {
  const records: SourceRecord[] = []
  const read: PartRead[] = []
  for (const [i, { start }] of splitPoints.entries()) {
    const end = splitPoints[i + 1]?.start ?? extent
    const part: SlicePart = { ...object, start, end, extent, ...(table && { table }) }
    const reader = readSlice(store, { parts: [part] }, { fields: { id: 'id', text: 'text' } })
    for await (const record of reader.records) records.push(record)
    read.push(...reader.rangesRead)
  }
  return { records, read }
}

const contentOf = (record: SourceRecord): unknown =>
  record.kind === 'document' ? [record.id, record.text] : record.reason

/** Rows without quotes. */
function linesOf(bytes: Buffer, delimiter: string): string[][] {
  const lines = bytes.toString('latin1').split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines.map(line =>
    (line.startsWith(BOM) ? line.slice(BOM.length) : line).replace(/\r$/, '').split(delimiter),
  )
}

/**
 * Rows with quotes. Null is a broken row: it costs its first line. A row over several lines is
 * broken too if its number of fields is not that of the header.
 */
function rowsOf(bytes: Buffer, delimiter: string, width: number): (string[] | null)[] {
  const text = bytes.toString('latin1')
  const rows: (string[] | null)[] = []
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at)
    const lineEnd = newline === -1 ? text.length : newline + 1
    const row = rowAt(text, text.startsWith(BOM, at) ? at + BOM.length : at, delimiter)
    const isBroken = row === undefined || (row.end > lineEnd && row.fields.length !== width)
    rows.push(isBroken ? null : row.fields)
    at = isBroken ? lineEnd : row.end
  }
  return rows
}

/** The row at an offset. Undefined where a quote is not closed, or is closed within a field. */
function rowAt(
  text: string,
  start: number,
  delimiter: string,
): { fields: string[]; end: number } | undefined {
  const fields: string[] = []
  for (let at = start; ; at += 1) {
    let field = ''
    if (text[at] === '"') {
      for (at += 1; text[at] !== '"' || text[at + 1] === '"'; at += 1) {
        if (at >= text.length) return undefined
        if (text[at] === '"') at += 1
        field += text[at]
      }
      at += 1
      while (text[at] === ' ') at += 1
      if (text.startsWith('\r\n', at) || (text[at] === '\r' && at + 1 === text.length)) at += 1
      if (at < text.length && text[at] !== delimiter && text[at] !== '\n') return undefined
    } else {
      while (at < text.length && text[at] !== delimiter && text[at] !== '\n') field += text[at++]
      if (text[at] !== delimiter) field = field.replace(/\r$/, '')
    }
    fields.push(field)
    if (text[at] !== delimiter) return { fields, end: Math.min(text.length, at + 1) }
  }
}

const BOM = '\xEF\xBB\xBF'

function expected(rows: readonly (readonly string[] | null)[], columns: readonly string[]): unknown[] {
  const notBlank = rows.filter(row => !(row?.length === 1 && row[0] === ''))
  return notBlank.slice(1).map(fields => {
    if (fields === null) return 'invalid_record'
    if (fields.every((field, i) => field === columns[i])) return 'invalid_record'
    if (fields.length !== columns.length) return 'invalid_record'
    const field = (name: string): string | undefined | null => {
      const place = columns.indexOf(name)
      const bytes = Buffer.from(fields[place] ?? '', 'latin1')
      return place === -1 ? undefined : isUtf8(bytes) ? bytes.toString() : null
    }
    const [id, text] = [field('id'), field('text')]
    if (id === undefined) return 'missing_id'
    if (id === null || id === '' || Buffer.byteLength(id) > 1024) return 'invalid_id'
    if (text === null) return 'invalid_utf8'
    return text === undefined ? 'missing_text' : [id, text]
  })
}
