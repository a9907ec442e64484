// The pages of one column of a row group, from a stream of bytes. Holds one page.

import type { ReembedError } from '@reembed/shared'
import { LIMITS } from '@reembed/shared'
import type { RowGroup } from 'hyparquet'
import { parquetHeader } from 'hyparquet/src/column.js'
import { readOffsetIndex } from 'hyparquet/src/indexes.js'
import { nameOf, type PhysicalColumn, sourceFormatError } from './parquet-footer.ts'
import { MAX_PAGE_BYTES, type Page } from './parquet-page.ts'

const MAX_HEADER_BYTES = LIMITS.parquetHeaderBytes

/** Streams bytes `start` to `end` of the object. */
export type RangeReader = (start: number, end: number) => AsyncIterable<Uint8Array>

export interface PageRange {
  readonly key: string
  readonly stream: RangeReader
  readonly group: RowGroup
  readonly leaf: PhysicalColumn
  /** First row of the group to read. */
  readonly from: number
}

export interface Pages extends AsyncDisposable {
  /** Row of the group at which the first data page begins. */
  readonly firstRow: number
  next(): Promise<Page | undefined>
}

/**
 * Opens the pages of the column. With an offset index, they begin at the page that contains row
 * `from`.
 */
export async function openPages({ stream, group, leaf, from, key }: PageRange): Promise<Pages> {
  const chunk = group.columns[leaf.column]
  const meta = chunk?.meta_data
  if (chunk?.crypto_metadata !== undefined) throw encryptedColumn(key, leaf)
  if (chunk === undefined || meta === undefined)
    throw sourceFormatError(key, 'has a row group without its columns')
  const dataStart = Number(meta.data_page_offset)
  // Some writers leave the offset of the dictionary at 0.
  const start = Math.min(dataStart, Number(meta.dictionary_page_offset || meta.data_page_offset))
  const end = start + Number(meta.total_compressed_size)
  let spans: [number, number][] = [[start, end]]
  let firstRow = 0
  if (from > 0 && chunk.offset_index_offset && chunk.offset_index_length) {
    const at = Number(chunk.offset_index_offset)
    const bytes = await collect(stream(at, at + chunk.offset_index_length))
    const locations = readOffsetIndex({
      view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      offset: 0,
    }).page_locations
    const page = locations.findLast(({ first_row_index }) => Number(first_row_index) <= from)
    const first = locations[0]
    if (page && first) {
      firstRow = Number(page.first_row_index)
      spans = [
        [start, Number(first.offset)],
        [Number(page.offset), end],
      ]
    }
  }
  const window = createWindow(key, joined(stream, spans))
  return {
    firstRow,
    async next() {
      const header = await window.header()
      if (header === undefined) return undefined
      const { compressed_page_size: size, uncompressed_page_size: unpacked } = header
      if (!(size >= 0 && unpacked >= 0)) throw new Error('a page has an invalid length')
      if (size > MAX_PAGE_BYTES || unpacked > MAX_PAGE_BYTES) {
        throw sourceFormatError(
          key,
          `has a page of ${Math.max(size, unpacked)} bytes in column ${JSON.stringify(nameOf(leaf))}, the limit is ${MAX_PAGE_BYTES}: write it with smaller pages`,
        )
      }
      return { header, body: await window.take(size) }
    },
    [Symbol.asyncDispose]: () => window.close(),
  }
}

async function* joined(stream: RangeReader, spans: readonly [number, number][]): AsyncGenerator<Uint8Array> {
  for (const [start, end] of spans) if (start < end) yield* stream(start, end)
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(chunks))
}

/** Reads page headers and exact numbers of bytes from a stream of chunks. */
function createWindow(key: string, chunks: AsyncGenerator<Uint8Array>) {
  let held: Buffer = Buffer.alloc(0)

  /** Returns false at the end of the stream. */
  async function grow(): Promise<boolean> {
    const { done, value } = await chunks.next()
    if (done) return false
    const chunk = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    return true
  }

  return {
    async header(): Promise<ReturnType<typeof parquetHeader> | undefined> {
      while (true) {
        if (held.length > 0) {
          const reader = { view: new DataView(held.buffer, held.byteOffset, held.byteLength), offset: 0 }
          try {
            const header = parquetHeader(reader)
            if (reader.offset <= held.length) {
              held = held.subarray(reader.offset)
              return header
            }
          } catch (error) {
            // Incomplete or damaged: only more bytes can tell.
            if (held.length > MAX_HEADER_BYTES) throw error
          }
        }
        const before = held.length
        if (!(await grow())) {
          if (before === 0) return undefined
          throw sourceFormatError(key, 'is damaged: a page header is incomplete')
        }
      }
    },

    async take(size: number): Promise<Buffer> {
      if (held.length >= size) {
        const taken = held.subarray(0, size)
        held = held.subarray(size)
        return taken
      }
      // Allocated once: joining pieces afterwards would take twice the memory.
      const taken = Buffer.allocUnsafe(size)
      let filled = held.copy(taken)
      held = Buffer.alloc(0)
      while (filled < size) {
        const { done, value } = await chunks.next()
        if (done) throw sourceFormatError(key, 'is damaged: a page is truncated')
        const chunk = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
        const copied = chunk.copy(taken, filled)
        held = chunk.subarray(copied)
        filled += copied
      }
      return taken
    },

    async close(): Promise<void> {
      await chunks.return(undefined)
    },
  }
}

export const encryptedColumn = (key: string, leaf: PhysicalColumn): ReembedError =>
  sourceFormatError(
    key,
    `has an encrypted column: ${JSON.stringify(nameOf(leaf))}. Write it without encryption, or choose another field`,
  )
