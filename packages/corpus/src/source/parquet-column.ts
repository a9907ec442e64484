// Reads the values of one column of a row group page by page. hyparquet decodes each page. Its own
// reader would hold a whole column of a row group, which has a million rows by pyarrow's defaults;
// this reader holds one page.

import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib'
import { messageOf, ReembedError } from '@reembed/shared'
import type { Compressors, RowGroup } from 'hyparquet'
import { parquetHeader, readPage } from 'hyparquet/src/column.js'
import { convert, DEFAULT_PARSERS } from 'hyparquet/src/convert.js'
import { readOffsetIndex } from 'hyparquet/src/indexes.js'
import { compressors as others } from 'hyparquet-compressors'
import { type LeafColumn, sourceFormatError } from './parquet-footer.ts'
import { MAX_PAGE_BYTES, type Page, unpackPage } from './parquet-page.ts'
import { INVALID_UTF8 } from './record-values.ts'

const MAX_HEADER_BYTES = 16 * 1024 * 1024

/** Streams bytes `start` to `end` of the object. */
export type RangeReader = (start: number, end: number) => AsyncIterable<Uint8Array>

export interface ColumnRange {
  readonly key: string
  readonly stream: RangeReader
  readonly group: RowGroup
  readonly leaf: LeafColumn
  /** Rows of the group. */
  readonly from: number
  readonly to: number
}

// Node's decompressors where they exist: zstd takes a third of the time of the JavaScript one
// (bench/source-parquet.ts).
const COMPRESSORS: Compressors = {
  ...others,
  ZSTD: (input, length) => zstdDecompressSync(input, { maxOutputLength: Math.max(1, length) }),
  GZIP: (input, length) => gunzipSync(input, { maxOutputLength: Math.max(1, length) }),
  BROTLI: (input, length) => brotliDecompressSync(input, { maxOutputLength: Math.max(1, length) }),
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function textOf(bytes: Uint8Array | undefined): string | object | undefined {
  if (bytes === undefined) return undefined
  try {
    return utf8.decode(bytes)
  } catch {
    return INVALID_UTF8
  }
}

const PARSERS: typeof DEFAULT_PARSERS = { ...DEFAULT_PARSERS, stringFromBytes: textOf, jsonFromBytes: textOf }

/** Yields the values of the rows, one array for each page; a missing value is null. */
export async function* columnValues(range: ColumnRange): AsyncGenerator<ArrayLike<unknown>, void, undefined> {
  const { key, group, leaf, from, to } = range
  const chunk = group.columns[leaf.column]
  const meta = chunk?.meta_data
  const element = leaf.schemaPath.at(-1)?.element
  if (meta === undefined || element === undefined)
    throw sourceFormatError(key, `has no column ${JSON.stringify(leaf.path)} in a row group`)
  const decoder = decoderOf(meta, leaf, element)
  const depth = optionalAncestors(leaf)
  const levels = depth + (element.repetition_type === 'OPTIONAL' ? 1 : 0)
  const damaged = (cause: unknown): ReembedError =>
    cause instanceof ReembedError
      ? cause
      : sourceFormatError(
          key,
          `is damaged in column ${JSON.stringify(leaf.path)} (${messageOf(cause)})`,
          cause,
        )

  let dictionary: Dictionary | undefined
  await using pages = await openPages(range).catch((error: unknown) => {
    throw damaged(error)
  })
  let row = pages.firstRow
  while (row < to) {
    const page = await pages.next().catch((error: unknown) => {
      throw damaged(error)
    })
    if (page === undefined) throw damaged(new Error(`it ends after row ${row} of ${to}`))
    const { header } = page
    const rows = header.data_page_header?.num_values ?? header.data_page_header_v2?.num_rows
    if (header.type !== 'DICTIONARY_PAGE' && rows === undefined) continue
    if (rows !== undefined && row + rows <= from) {
      row += rows
      continue
    }
    let values: ArrayLike<unknown>
    try {
      const { header, data } = decodePage(page, decoder, {
        rows: Number(group.num_rows) - row,
        levels,
        dictionary,
      })
      if (header.type === 'DICTIONARY_PAGE') {
        dictionary = data && convert(data, decoder)
        continue
      }
      values = data ?? []
      if (values.length !== rows) throw new Error(`a page has ${values.length} values for ${rows} rows`)
    } catch (error) {
      throw damaged(error)
    }
    const first = Math.max(0, from - row)
    const kept = Array.prototype.slice.call(values, first, Math.min(values.length, to - row)) as unknown[]
    row += values.length
    yield depth === 0 ? kept : kept.map(value => unwrap(value, depth))
  }
}

type ColumnDecoder = Parameters<typeof readPage>[2]
type Dictionary = ReturnType<typeof convert>

const decoderOf = (
  meta: NonNullable<RowGroup['columns'][number]['meta_data']>,
  leaf: LeafColumn,
  element: ColumnDecoder['element'],
): ColumnDecoder => ({
  ...meta,
  pathInSchema: meta.path_in_schema,
  element,
  schemaPath: [...leaf.schemaPath],
  parsers: PARSERS,
  compressors: COMPRESSORS,
})

/** Checks and decompresses a page, then decodes it with hyparquet. */
function decodePage(
  page: Page,
  decoder: ColumnDecoder,
  {
    dictionary,
    ...claims
  }: { readonly rows: number; readonly levels: number; readonly dictionary: Dictionary | undefined },
) {
  const { header, body } = unpackPage(page, decoder, claims)
  const reader = { view: new DataView(body.buffer, body.byteOffset, body.byteLength), offset: 0 }
  const { data } = readPage(reader, header, { ...decoder, codec: 'UNCOMPRESSED' }, dictionary, undefined, 0)
  return { header, data }
}

/** hyparquet decodes each optional struct around a column as a list of at most one value. */
const optionalAncestors = ({ schemaPath }: LeafColumn): number =>
  schemaPath.slice(1, -1).filter(({ element }) => element.repetition_type === 'OPTIONAL').length

function unwrap(value: unknown, depth: number): unknown {
  let inner = value
  for (let level = 0; level < depth; level++) inner = Array.isArray(inner) ? inner[0] : inner
  return inner
}

interface Pages extends AsyncDisposable {
  /** Row of the group at which the first data page begins. */
  readonly firstRow: number
  next(): Promise<Page | undefined>
}

/**
 * Opens the pages of the column. With an offset index, they begin at the page that contains row
 * `from`.
 */
async function openPages({ stream, group, leaf, from, key }: ColumnRange): Promise<Pages> {
  const chunk = group.columns[leaf.column]
  const meta = chunk?.meta_data
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
          `has a page of ${Math.max(size, unpacked)} bytes in column ${JSON.stringify(leaf.path)}, the limit is ${MAX_PAGE_BYTES}: write it with smaller pages`,
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
