// Writes a Parquet file of the columns in columns.ts, one row group at a time:
//
//   PAR1 | row group 0: column, column, ... | row group 1 | ... | offset indexes | footer | length | PAR1
//          |<-- at most 4 pages of vectors -->|
//
// Memory: one row group, whatever the size of the file; the vectors in it are the caller's own
// arrays. The same rows always make the same bytes. docs/decisions.md explains why no library is
// used.

import type { CarriedValue } from '@reembed/protocol'
import type { FileMetaData, KeyValue, RowGroup, Statistics } from 'hyparquet'
import { ByteWriter } from 'hyparquet-writer/src/bytewriter.js'
import { writeMetadata } from 'hyparquet-writer/src/metadata.js'
import {
  type FileOutput,
  type WrittenColumnChunk,
  writeColumnChunk,
  writeOffsetIndex,
} from './column-chunk.ts'
import { columnChunkInfo, ELEMENT_BYTES, isCompressed, type ParquetColumn, schemaOf } from './columns.ts'
import { bytesOf, flatPages } from './flat.ts'
import { createLevels } from './levels.ts'
import { fixedPages, type Page, pageRows } from './pages.ts'
import type { ByteSink } from './shard-buffer.ts'

/** The values of one column: an array for a flat column, else the rows in one typed array. */
export type ColumnValues = readonly CarriedValue[] | Uint8Array | Int8Array | Float32Array | Uint16Array

export interface ParquetWriterOptions {
  readonly columns: readonly ParquetColumn[]
  readonly sink: ByteSink
  readonly rowGroupRows?: number | undefined
}

export interface ParquetWriter {
  /** Rows appended so far. */
  readonly rows: number
  /** Bytes passed to the sink so far. */
  readonly bytes: number
  /**
   * Appends rows, with values in column order. The writer holds the arrays until their row group is
   * written: the caller must not change them before `onWritten` is called. Float16 vectors are
   * passed as the bits of their values.
   */
  append(rows: number, values: readonly ColumnValues[], onWritten?: () => void): void
  /** Writes the rest of the body, which is everything before the footer. */
  endBody(): void
  /** Writes the footer. `patchFooter` may change its bytes in place, but not its length. */
  finish(keyValues: readonly KeyValue[], patchFooter?: (footer: Buffer) => void): void
}

/**
 * The writer holds a row group until it is full. The limit of rows bounds the ids of short vectors.
 */
const GROUP_PAGES = 4
const GROUP_ROWS = 2 ** 16

const MAGIC: Uint8Array = Buffer.from('PAR1')

export function createParquetWriter({ columns, sink, rowGroupRows }: ParquetWriterOptions): ParquetWriter {
  const groupRows = rowGroupRows ?? rowsOfGroup(columns)
  const groups: RowGroup[] = []
  const chunks: WrittenColumnChunk[] = []
  const levels = columns.map(column =>
    column.kind === 'vector' ? createLevels(column.dimensions) : undefined,
  )
  let rows = 0
  let offset = 0
  let held: (readonly ColumnValues[])[] = []
  let heldRows = 0
  let toldWhenWritten: (() => void)[] = []
  let ended = false

  const output: FileOutput = {
    get offset() {
      return offset
    },
    write(bytes) {
      sink(bytes)
      offset += bytes.length
    },
  }
  output.write(MAGIC)

  function pagesOf(column: ParquetColumn, index: number, statistics: Statistics): Iterable<Page> {
    const parts = held.map(values => values[index] ?? [])
    if (column.kind === 'flat')
      return flatPages(column, (parts as (readonly CarriedValue[])[]).flat(), statistics)
    const options = { rowBytes: rowBytesOf(column), compressed: isCompressed(column) }
    const bytes = (parts as Exclude<ColumnValues, readonly CarriedValue[]>[]).map(part =>
      stored(column, part),
    )
    const made = levels[index]
    return column.kind === 'vector' && made
      ? fixedPages(bytes, { ...options, valuesPerRow: column.dimensions, levels: made })
      : fixedPages(bytes, options)
  }

  function flush(): void {
    if (heldRows === 0) return
    const start = offset
    const written = columns.map((column, index) => {
      const statistics: Statistics = {}
      const pages = pagesOf(column, index, statistics)
      return writeColumnChunk(
        output,
        { ...columnChunkInfo(column), ...(column.kind === 'flat' && { statistics }) },
        pages,
      )
    })
    chunks.push(...written)
    groups.push({
      columns: written.map(({ chunk }) => chunk),
      total_byte_size: BigInt(written.reduce((sum, { uncompressedBytes }) => sum + uncompressedBytes, 0)),
      num_rows: BigInt(heldRows),
      file_offset: BigInt(start),
      total_compressed_size: BigInt(offset - start),
    })
    held = []
    heldRows = 0
    for (const tell of toldWhenWritten) tell()
    toldWhenWritten = []
  }

  function endBody(): void {
    if (ended) return
    ended = true
    flush()
    for (const chunk of chunks) writeOffsetIndex(output, chunk)
  }

  return {
    get rows() {
      return rows
    },
    get bytes() {
      return offset
    },
    append(count, values, onWritten) {
      rows += count
      if (count === 0) onWritten?.()
      for (let from = 0; from < count; ) {
        const to = Math.min(count, from + groupRows - heldRows)
        held.push(columns.map((column, index) => rowsOf(column, values[index] ?? [], from, to)))
        heldRows += to - from
        from = to
        if (onWritten && from === count) toldWhenWritten.push(onWritten)
        if (heldRows === groupRows) flush()
      }
    },
    endBody,
    finish(keyValues, patchFooter) {
      endBody()
      const footer = footerBytes({
        version: 1,
        created_by: 'reembed version 1',
        schema: schemaOf(columns),
        num_rows: BigInt(rows),
        row_groups: groups,
        key_value_metadata: [...keyValues],
        metadata_length: 0,
      })
      // The last 8 bytes are the length of the metadata and the magic.
      patchFooter?.(footer.subarray(0, -8))
      output.write(footer)
    },
  }
}

/** Size in bytes of a row of a column with rows of equal size. */
function rowBytesOf(column: Exclude<ParquetColumn, { kind: 'flat' }>): number {
  return column.kind === 'fixed' ? column.bytes : column.dimensions * ELEMENT_BYTES[column.element]
}

function rowsOfGroup(columns: readonly ParquetColumn[]): number {
  const widest = Math.max(1, ...columns.map(column => (column.kind === 'vector' ? rowBytesOf(column) : 1)))
  return Math.min(GROUP_PAGES * pageRows(widest), GROUP_ROWS)
}

/** Rows `from` to `to` of a column. Typed arrays are not copied. */
function rowsOf(column: ParquetColumn, values: ColumnValues, from: number, to: number): ColumnValues {
  if (column.kind === 'flat') return (values as readonly CarriedValue[]).slice(from, to)
  const size = column.kind === 'fixed' ? column.bytes : column.dimensions
  return (values as Uint8Array).subarray(from * size, to * size)
}

/** Values as they are stored: integers take four bytes each. */
function stored(column: ParquetColumn, values: Exclude<ColumnValues, readonly CarriedValue[]>): Uint8Array {
  const isInteger = column.kind === 'vector' && (column.element === 'int8' || column.element === 'uint8')
  return bytesOf(isInteger ? Int32Array.from(values) : values)
}

/** The end of the file: metadata, its length and the magic. */
function footerBytes(metadata: FileMetaData): Buffer {
  const writer = new ByteWriter()
  writeMetadata(writer, metadata)
  writer.appendBytes(MAGIC)
  const footer = Buffer.from(writer.getBytes())
  if (metadata.row_groups.length === 0) writeEmptyRowGroups(footer)
  return footer
}

/**
 * Thrift: 0 rows, then a list of 0 row groups. hyparquet-writer omits its element type, which
 * arrow-rs requires.
 */
const NO_ROWS_NO_GROUPS = Buffer.of(0x16, 0x00, 0x19, 0x00)
const STRUCT = 0x0c

function writeEmptyRowGroups(footer: Buffer): void {
  footer[footer.indexOf(NO_ROWS_NO_GROUPS) + 3] = STRUCT
}
