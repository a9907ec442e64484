// Writes a column chunk: the pages of one column of one row group, and their metadata for the
// footer.

import type { ColumnChunk, ColumnMetaData } from 'hyparquet'
import { ByteWriter } from 'hyparquet-writer/src/bytewriter.js'
import { writePageHeader } from 'hyparquet-writer/src/datapage.js'
import { serializeTCompactProtocol } from 'hyparquet-writer/src/thrift.js'
import type { Page } from './pages.ts'

/** The output file. Every byte passes through `write`. */
export interface FileOutput {
  readonly offset: number
  write(bytes: Uint8Array): void
}

/** A written chunk, with the entries of its offset index. */
export interface WrittenColumnChunk {
  readonly chunk: ColumnChunk
  readonly pageLocations: readonly PageLocation[]
  /** Size with uncompressed pages, page headers included. */
  readonly uncompressedBytes: number
}

interface PageLocation {
  readonly offset: number
  /** Header and body. */
  readonly bytes: number
  readonly firstRow: number
}

/**
 * The metadata that all pages of a column share. `statistics` may be filled in while the pages are
 * written.
 */
export type ColumnChunkInfo = Pick<
  ColumnMetaData,
  'path_in_schema' | 'type' | 'encodings' | 'codec' | 'statistics'
>

/** Writes the pages in order. */
export function writeColumnChunk(
  output: FileOutput,
  column: ColumnChunkInfo,
  pages: Iterable<Page>,
): WrittenColumnChunk {
  const start = output.offset
  const pageLocations: PageLocation[] = []
  let rows = 0
  let values = 0
  let uncompressedBytes = 0
  for (const page of pages) {
    const offset = output.offset
    const header = pageHeader(page)
    output.write(header)
    for (const part of page.body) output.write(part)
    pageLocations.push({ offset, bytes: output.offset - offset, firstRow: rows })
    rows += page.rows
    values += page.values
    uncompressedBytes += header.length + page.uncompressedBytes
  }
  const meta_data: ColumnMetaData = {
    ...column,
    num_values: BigInt(values),
    total_uncompressed_size: BigInt(uncompressedBytes),
    total_compressed_size: BigInt(output.offset - start),
    data_page_offset: BigInt(start),
  }
  return { chunk: { file_offset: 0n, meta_data }, pageLocations, uncompressedBytes }
}

function pageHeader({ values, body, uncompressedBytes }: Page): Uint8Array {
  const header = new ByteWriter(64)
  writePageHeader(header, {
    type: 'DATA_PAGE',
    uncompressed_page_size: uncompressedBytes,
    compressed_page_size: body.reduce((sum, part) => sum + part.length, 0),
    data_page_header: {
      num_values: values,
      encoding: 'PLAIN',
      definition_level_encoding: 'RLE',
      repetition_level_encoding: 'RLE',
    },
  })
  return header.getBytes()
}

/**
 * Writes offset and first row of each page, which let a reader fetch single rows, and records them
 * in the chunk.
 */
export function writeOffsetIndex(output: FileOutput, { chunk, pageLocations }: WrittenColumnChunk): void {
  const index = new ByteWriter()
  serializeTCompactProtocol(index, {
    field_1: pageLocations.map(({ offset, bytes, firstRow }) => ({
      field_1: BigInt(offset),
      field_2: bytes,
      field_3: BigInt(firstRow),
    })),
  })
  chunk.offset_index_offset = BigInt(output.offset)
  chunk.offset_index_length = index.offset
  output.write(index.getBytes())
}
