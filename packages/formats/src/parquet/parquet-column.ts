// Reads the values of one column of a row group page by page. hyparquet decodes each page. Its own
// reader would hold a whole column of a row group, which has a million rows by pyarrow's defaults;
// this reader holds one page.

import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib'
import { messageOf, ReembedError } from '@reembed/shared'
import type { Compressors } from 'hyparquet'
import { readPage } from 'hyparquet/src/column.js'
import { convert, DEFAULT_PARSERS } from 'hyparquet/src/convert.js'
import { compressors as others } from 'hyparquet-compressors'
import { textOfBytes } from '../value/text-of-bytes.ts'
import { nameOf, type PhysicalColumn, sourceFormatError } from './parquet-footer.ts'
import { type Page, unpackPage } from './parquet-page.ts'
import { encryptedColumn, openPages, type PageRange } from './parquet-pages.ts'
import { type ColumnConversion, conversionOf, physicalElement } from './parquet-values.ts'

export interface ColumnRange extends PageRange {
  /** End of the rows of the group to read. */
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

const textOf = (bytes: Uint8Array | undefined): string | object | undefined => bytes && textOfBytes(bytes)

const PARSERS: typeof DEFAULT_PARSERS = {
  ...DEFAULT_PARSERS,
  stringFromBytes: textOf,
  jsonFromBytes: textOf,
  // INT96 has no logical type that could be left out; conversionOf makes its timestamp.
  timestampFromNanoseconds: ((nanos: unknown) =>
    nanos) as unknown as typeof DEFAULT_PARSERS.timestampFromNanoseconds,
}

/** Yields the values of the rows, one array for each page; a missing value is null. */
export async function* columnValues(range: ColumnRange): AsyncGenerator<ArrayLike<unknown>, void, undefined> {
  const { key, group, leaf, from, to } = range
  const damaged = (cause: unknown): ReembedError => columnError(key, leaf, cause)
  const { decoder, conversion } = openDecoder(range)
  const depth = optionalAncestors(leaf)
  const levels = depth + (decoder.element.repetition_type === 'OPTIONAL' ? 1 : 0)

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
        values: Number(group.num_rows) - row,
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
    const unwrapped = depth === 0 ? kept : kept.map(value => unwrap(value, depth))
    yield convertAll(unwrapped, conversion)
  }
}

/** Converts the values that are not missing. */
export function convertAll(values: unknown[], { convert }: ColumnConversion): unknown[] {
  if (convert === undefined) return values
  return values.map(value => (value === undefined || value === null ? null : convert(value as never)))
}

/** An error of a column; one that is a ReembedError already is kept. */
export const columnError = (key: string, leaf: PhysicalColumn, cause: unknown): ReembedError =>
  cause instanceof ReembedError
    ? cause
    : sourceFormatError(
        key,
        `is damaged in column ${JSON.stringify(nameOf(leaf))} (${messageOf(cause)})`,
        cause,
      )

/** hyparquet's decoder of a column, and the conversion of what it decodes. */
export function openDecoder({ key, group, leaf }: Pick<PageRange, 'key' | 'group' | 'leaf'>): {
  readonly decoder: ColumnDecoder
  readonly conversion: ColumnConversion
} {
  const chunk = group.columns[leaf.column]
  const meta = chunk?.meta_data
  const element = leaf.schemaPath.at(-1)?.element
  if (chunk?.crypto_metadata !== undefined) throw encryptedColumn(key, leaf)
  if (meta === undefined || element === undefined)
    throw sourceFormatError(key, `has no column ${JSON.stringify(nameOf(leaf))} in a row group`)
  let conversion: ColumnConversion
  try {
    conversion = conversionOf(element)
  } catch (cause) {
    throw sourceFormatError(
      key,
      `has a column ${JSON.stringify(nameOf(leaf))} whose ${messageOf(cause)}`,
      cause,
    )
  }
  const isPhysical = conversion.convert !== undefined
  return {
    decoder: {
      ...meta,
      pathInSchema: meta.path_in_schema,
      element: isPhysical ? physicalElement(element) : element,
      schemaPath: [...leaf.schemaPath],
      parsers: PARSERS,
      compressors: COMPRESSORS,
      utf8: !isPhysical,
    },
    conversion,
  }
}

export type ColumnDecoder = Parameters<typeof readPage>[2]
export type Dictionary = ReturnType<typeof convert>

/** Checks and decompresses a page, then decodes it with hyparquet. */
export function decodePage(
  page: Page,
  decoder: ColumnDecoder,
  {
    dictionary,
    ...claims
  }: Parameters<typeof unpackPage>[2] & { readonly dictionary: Dictionary | undefined },
): { readonly header: Page['header']; readonly data: ReturnType<typeof readPage>['data'] } {
  const { header, body } = unpackPage(page, decoder, claims)
  const reader = { view: new DataView(body.buffer, body.byteOffset, body.byteLength), offset: 0 }
  const { data } = readPage(reader, header, { ...decoder, codec: 'UNCOMPRESSED' }, dictionary, undefined, 0)
  return { header, data }
}

/** hyparquet decodes each optional struct around a column as a list of at most one value. */
const optionalAncestors = ({ schemaPath }: PhysicalColumn): number =>
  schemaPath.slice(1, -1).filter(({ element }) => element.repetition_type === 'OPTIONAL').length

function unwrap(value: unknown, depth: number): unknown {
  let inner = value
  for (let level = 0; level < depth; level++) inner = Array.isArray(inner) ? inner[0] : inner
  return inner
}
