// Files with a page or a batch as large as may be. Row `n` has the id `n`, and a text that begins
// with it.

import { writeFile } from 'node:fs/promises'
import { makeVector, Table, tableToIPC, Utf8, vectorFromArray } from 'apache-arrow'
import { type ColumnSource, parquetWriteBuffer } from 'hyparquet-writer'

const idsOf = (rows: number): Int32Array => new Int32Array(rows).map((_, row) => row)
const textsOf = (rows: number, length: number): string[] =>
  Array.from({ length: rows }, (_, row) => String(row).padEnd(length, 'y'))

/** A page of so many texts, and of so many bytes with their lengths. */
export const writeTexts = (path: string, rows: number, bytes: number): Promise<void> =>
  writePages(path, rows, {
    name: 'text',
    data: textsOf(rows, Math.floor(bytes / rows) - 4),
    type: 'STRING',
    nullable: false,
    encoding: 'PLAIN',
  })

/** A page of a few bytes: one text, then nulls. */
export const writeNulls = (path: string, rows: number): Promise<void> =>
  writePages(path, rows, {
    name: 'text',
    data: Array.from({ length: rows }, (_, row) => (row === 0 ? '0' : null)),
    type: 'STRING',
    nullable: true,
    encoding: 'PLAIN',
  })

async function writePages(path: string, rows: number, texts: ColumnSource): Promise<void> {
  const bytes = parquetWriteBuffer({
    columnData: [{ name: 'id', data: idsOf(rows), type: 'INT32', nullable: false }, texts],
    codec: 'UNCOMPRESSED',
    statistics: false,
    rowGroupSize: rows,
    // One page a column.
    pageSize: 0,
  })
  await writeFile(path, new Uint8Array(bytes))
}

/** A batch of so many texts, and of so many bytes with ids and lengths. */
export async function writeBatch(path: string, rows: number, bytes: number): Promise<void> {
  const table = new Table({
    id: makeVector(idsOf(rows)),
    text: vectorFromArray(textsOf(rows, Math.floor(bytes / rows) - 8), new Utf8()),
  })
  await writeFile(path, tableToIPC(table, 'file'))
}
