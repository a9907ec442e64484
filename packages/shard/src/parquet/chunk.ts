// A column chunk: the pages of one column of one row group, and what the footer says about them.

import type { ColumnChunk, ColumnMetaData } from 'hyparquet'
import { ByteWriter } from 'hyparquet-writer/src/bytewriter.js'
import { writePageHeader } from 'hyparquet-writer/src/datapage.js'
import { serializeTCompactProtocol } from 'hyparquet-writer/src/thrift.js'
import type { Page } from './pages.ts'

/** The file as it grows: every byte goes through `write`. */
export interface Output {
  readonly offset: number
  write(bytes: Uint8Array): void
}

/** A chunk that was written, with what its offset index will say. */
export interface WrittenChunk {
  readonly chunk: ColumnChunk
  readonly locations: readonly PageLocation[]
  /** Size before compression. */
  readonly rawBytes: number
}

interface PageLocation {
  readonly offset: number
  /** Header and body. */
  readonly bytes: number
  readonly firstRow: number
}

/** What the pages of a column have in common. `statistics` may be filled in while they are written. */
export type Column = Pick<ColumnMetaData, 'path_in_schema' | 'type' | 'encodings' | 'codec' | 'statistics'>

/** Writes the pages one after the other. */
export function writeChunk(output: Output, column: Column, pages: Iterable<Page>): WrittenChunk {
  const start = output.offset
  const locations: PageLocation[] = []
  let rows = 0
  let values = 0
  let rawBytes = 0
  for (const page of pages) {
    const offset = output.offset
    const header = pageHeader(page)
    output.write(header)
    for (const part of page.body) output.write(part)
    locations.push({ offset, bytes: output.offset - offset, firstRow: rows })
    rows += page.rows
    values += page.values
    rawBytes += header.length + page.rawBytes
  }
  const meta_data: ColumnMetaData = {
    ...column,
    num_values: BigInt(values),
    total_uncompressed_size: BigInt(rawBytes),
    total_compressed_size: BigInt(output.offset - start),
    data_page_offset: BigInt(start),
  }
  return { chunk: { file_offset: 0n, meta_data }, locations, rawBytes }
}

function pageHeader({ values, body, rawBytes }: Page): Uint8Array {
  const header = new ByteWriter(64)
  writePageHeader(header, {
    type: 'DATA_PAGE',
    uncompressed_page_size: rawBytes,
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

/** Where each page begins and with which row, so that a reader can fetch single rows; noted in the chunk. */
export function writeOffsetIndex(output: Output, { chunk, locations }: WrittenChunk): void {
  const index = new ByteWriter()
  serializeTCompactProtocol(index, {
    field_1: locations.map(({ offset, bytes, firstRow }) => ({
      field_1: BigInt(offset),
      field_2: bytes,
      field_3: BigInt(firstRow),
    })),
  })
  chunk.offset_index_offset = BigInt(output.offset)
  chunk.offset_index_length = index.offset
  output.write(index.getBytes())
}
