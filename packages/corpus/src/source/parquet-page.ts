// A page of a column, looked through before hyparquet decodes it. Its header and the runs in it are claims: a run of
// five bytes can stand for billions of values, and they would all be written down.

import type { parquetHeader, readPage } from 'hyparquet/src/column.js'
import { decompressPage } from 'hyparquet/src/datapage.js'
import { deltaBinaryUnpack } from 'hyparquet/src/delta.js'
import { readRleBitPackedHybrid } from 'hyparquet/src/encoding.js'
import { readVarInt } from 'hyparquet/src/thrift.js'

/** Writers make pages of about 1 MiB. One that claims more than this is not unpacked. */
export const MAX_PAGE_BYTES: number = 128 * 1024 * 1024
/** A page of one value over and over can have all rows of its group; pyarrow makes groups of at most 1 Mi rows. */
const MAX_PAGE_VALUES = 4 * 1024 * 1024
/** Texts that are not in a dictionary take some 140 bytes each while they are decoded, also empty ones. */
const MAX_PAGE_TEXTS = 1024 * 1024

type PageHeader = ReturnType<typeof parquetHeader>
type ColumnDecoder = Parameters<typeof readPage>[2]

export interface Page {
  readonly header: PageHeader
  readonly body: Uint8Array
}

interface Reader {
  readonly view: DataView
  offset: number
}

/**
 * The page without compression, once nothing in it claims more values than there are rows left in its row group.
 * @param rows that are left in the row group
 * @param levels how many of the column and the structs around it are optional; none is repeated
 * @throws Error saying what it claims; who reads adds the object and the column
 */
export function unpackPage(
  { header, body }: Page,
  decoder: ColumnDecoder,
  { rows, levels }: { readonly rows: number; readonly levels: number },
): Page {
  const { data_page_header: v1, data_page_header_v2: v2, dictionary_page_header: dictionary } = header
  const data = header.type === 'DATA_PAGE' ? v1 : header.type === 'DATA_PAGE_V2' ? v2 : undefined
  const values = (data ?? dictionary)?.num_values ?? 0
  if (!(values >= 0 && values <= MAX_PAGE_VALUES)) {
    throw new Error(
      `a page claims ${values} values, the limit is ${MAX_PAGE_VALUES}: write it with smaller pages`,
    )
  }
  if (data && values > rows) {
    throw new Error(`a page claims ${values} values, its row group has only ${rows} rows left`)
  }
  if (header.type === 'DICTIONARY_PAGE') requireFewTexts(values, decoder)
  // Levels of version 2 stand before what is compressed.
  const { repetition, definition } = data && data === v2 ? levelBytes(v2) : NO_LEVELS
  const from = repetition + definition
  const { codec, compressors } = decoder
  let page = body
  if (codec !== 'UNCOMPRESSED' && !(data === v2 && v2?.is_compressed === false)) {
    const rest = decompressPage(body.subarray(from), header.uncompressed_page_size - from, codec, compressors)
    page = from === 0 ? rest : Buffer.concat([body.subarray(0, from), rest])
  }
  if (data) {
    const reader: Reader = { view: new DataView(page.buffer, page.byteOffset, page.byteLength), offset: 0 }
    const isV2 = data === v2
    let present = (): number => values - (isV2 ? (v2?.num_nulls ?? 0) : 0)
    reader.offset = isV2 ? repetition : 4
    if (levels > 0) checkRuns(reader, widthOf(levels), values)
    reader.offset = from
    if (!isV2 && levels > 0) {
      reader.offset = 4 + reader.view.getUint32(0, true)
      present = () => countPresent(reader.view, values, levels)
    }
    checkValues({ reader, encoding: data.encoding, decoder, values, isV2, present })
  }
  const plain = v2 && { ...v2, is_compressed: false }
  return {
    header: { ...header, compressed_page_size: page.length, ...(plain && { data_page_header_v2: plain }) },
    body: page,
  }
}

interface Values {
  /** Where the values begin. */
  readonly reader: Reader
  readonly encoding: string | undefined
  readonly decoder: ColumnDecoder
  /** Nulls among them. */
  readonly values: number
  readonly isV2: boolean
  /** How many are not null: to count them may be to decode the levels, so only where it matters. */
  readonly present: () => number
}

function checkValues({ reader, encoding, decoder, values, isV2, present }: Values): void {
  if (encoding === 'PLAIN_DICTIONARY' || encoding === 'RLE_DICTIONARY') {
    if (reader.offset >= reader.view.byteLength) return
    const width = reader.view.getUint8(reader.offset++)
    // In version 1, nothing is read behind places of no bits.
    if (width > 0 || isV2) checkRuns(reader, width, values)
  } else if (encoding === 'RLE') {
    reader.offset += 4
    checkRuns(reader, 1, values)
  } else if (encoding === 'DELTA_BYTE_ARRAY') {
    checkTexts(reader, requireFewTexts(present(), decoder))
  } else if (values > MAX_PAGE_TEXTS) {
    requireFewTexts(present(), decoder)
  }
}

const NO_LEVELS = { repetition: 0, definition: 0 }

function levelBytes(v2: NonNullable<PageHeader['data_page_header_v2']>): typeof NO_LEVELS {
  const { repetition_levels_byte_length: repetition, definition_levels_byte_length: definition } = v2
  if (!(repetition >= 0 && definition >= 0 && v2.num_nulls >= 0 && v2.num_nulls <= v2.num_values)) {
    throw new Error('a page has levels of no length')
  }
  return { repetition, definition }
}

const widthOf = (levels: number): number => 32 - Math.clz32(levels)

/** Of the levels of version 1, which begin with their length. */
function countPresent(view: DataView, values: number, levels: number): number {
  const definitions: number[] = Array(values).fill(0)
  readRleBitPackedHybrid({ view, offset: 0 }, widthOf(levels), definitions)
  return definitions.reduce((sum, level) => (level === levels ? sum + 1 : sum), 0)
}

function requireFewTexts(count: number, { type }: ColumnDecoder): number {
  if (count <= MAX_PAGE_TEXTS || (type !== 'BYTE_ARRAY' && type !== 'FIXED_LEN_BYTE_ARRAY')) return count
  throw new Error(`a page claims ${count} texts, the limit is ${MAX_PAGE_TEXTS}: write it with smaller pages`)
}

/** Packed values come in eights, and some writers fill up a whole block of them. */
const PACKED_ROOM = 512

/** Runs of equal values may not go beyond the page's values. */
function checkRuns(reader: Reader, width: number, values: number): void {
  for (let seen = 0; seen < values && reader.offset < reader.view.byteLength; ) {
    const run = readVarInt(reader) >>> 0
    const isPacked = run % 2 === 1
    const length = isPacked ? 8 * (run >>> 1) : run >>> 1
    if (length > values - seen + (isPacked ? PACKED_ROOM : 0)) {
      throw new Error(`a page with ${values} values has a run that claims ${length} of them`)
    }
    seen += length
    reader.offset += isPacked ? (length / 8) * width : (width + 7) >> 3
  }
}

/** Each text may repeat any part of the one before it: a few bytes can stand for all of it, every time. */
function checkTexts(reader: Reader, values: number): void {
  const lengths = new Int32Array(values)
  let bytes = 0
  for (const what of ['prefix', 'suffix']) {
    deltaBinaryUnpack(reader, values, lengths)
    for (const length of lengths) {
      if (length < 0) throw new Error(`a page has a text with a ${what} of ${length} bytes`)
      bytes += length
    }
  }
  if (bytes > MAX_PAGE_BYTES) {
    throw new Error(
      `a page has texts of ${bytes} bytes, the limit is ${MAX_PAGE_BYTES}: write it with smaller pages`,
    )
  }
}
