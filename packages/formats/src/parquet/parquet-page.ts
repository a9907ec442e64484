// Checks a page of a column before hyparquet decodes it. Its header and the runs in it are
// unverified: a run of five bytes can stand for billions of values, and hyparquet would materialise
// them all.

import { LIMITS, readHybridRun } from '@reembed/shared'
import type { parquetHeader, readPage } from 'hyparquet/src/column.js'
import { decompressPage } from 'hyparquet/src/datapage.js'
import { deltaBinaryUnpack } from 'hyparquet/src/delta.js'
import { readRleBitPackedHybrid } from 'hyparquet/src/encoding.js'

/** Writers make pages of about 1 MiB. A page that claims more than this is not decompressed. */
export const MAX_PAGE_BYTES: number = LIMITS.pageBytes
/**
 * A page of one repeated value can have all rows of its group; pyarrow makes groups of at most 1 Mi
 * rows.
 */
const MAX_PAGE_VALUES = LIMITS.pageValues
/**
 * Texts that are not in a dictionary, also empty ones, take about 140 bytes each while they are
 * decoded.
 */
const MAX_PAGE_TEXTS = LIMITS.pageTexts

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

interface Claims {
  /** Values left in the row group: rows, where no element around the column is repeated. */
  readonly values: number
  /** Number of optional and repeated elements among the column and the elements around it. */
  readonly levels: number
  /** Number of repeated elements. */
  readonly repetitions?: number
}

/**
 * Decompresses a page and checks that nothing in it claims more values than its row group has left.
 * @throws Error with the claim; the caller adds the object and the column
 */
export function unpackPage(
  { header, body }: Page,
  decoder: ColumnDecoder,
  { values: left, levels, repetitions = 0 }: Claims,
): Page {
  const { data_page_header: v1, data_page_header_v2: v2, dictionary_page_header: dictionary } = header
  const data = header.type === 'DATA_PAGE' ? v1 : header.type === 'DATA_PAGE_V2' ? v2 : undefined
  const values = (data ?? dictionary)?.num_values ?? 0
  if (!(values >= 0 && values <= MAX_PAGE_VALUES)) {
    throw new Error(
      `a page claims ${values} values, the limit is ${MAX_PAGE_VALUES}: write it with smaller pages`,
    )
  }
  if (data && values > left) {
    throw new Error(`a page claims ${values} values, its row group has only ${left} rows left`)
  }
  if (header.type === 'DICTIONARY_PAGE') requireFewTexts(values, decoder)
  // In version 2, uncompressed levels precede the compressed values.
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
    if (isV2) {
      if (repetitions > 0) checkRuns(reader, widthOf(repetitions), values)
      reader.offset = repetition
      if (levels > 0) checkRuns(reader, widthOf(levels), values)
      reader.offset = from
    } else {
      if (repetitions > 0) checkLevels(reader, repetitions, values)
      const start = reader.offset
      if (levels > 0) {
        checkLevels(reader, levels, values)
        present = () => countPresent(reader.view, start, values, levels)
      }
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
  /** Positioned at the start of the values. */
  readonly reader: Reader
  readonly encoding: string | undefined
  readonly decoder: ColumnDecoder
  /** Nulls included. */
  readonly values: number
  readonly isV2: boolean
  /**
   * Number of values that are not null. Counting may decode the levels, so it is called only where
   * needed.
   */
  readonly present: () => number
}

function checkValues({ reader, encoding, decoder, values, isV2, present }: Values): void {
  if (encoding === 'PLAIN_DICTIONARY' || encoding === 'RLE_DICTIONARY') {
    if (reader.offset >= reader.view.byteLength) return
    const width = reader.view.getUint8(reader.offset++)
    // In version 1, hyparquet reads no data after a bit width of 0.
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
    throw new Error('a page has levels of an invalid length')
  }
  return { repetition, definition }
}

const widthOf = (levels: number): number => 32 - Math.clz32(levels)

/** Checks levels of a version 1 page, which begin with their length, and skips them. */
function checkLevels(reader: Reader, levels: number, values: number): void {
  const start = reader.offset + 4
  const end = start + reader.view.getUint32(reader.offset, true)
  reader.offset = start
  checkRuns(reader, widthOf(levels), values)
  reader.offset = end
}

/** Counts the values that are not null by the definition levels of a version 1 page. */
function countPresent(view: DataView, start: number, values: number, levels: number): number {
  const definitions: number[] = Array(values).fill(0)
  readRleBitPackedHybrid({ view, offset: start }, widthOf(levels), definitions)
  return definitions.reduce((sum, level) => (level === levels ? sum + 1 : sum), 0)
}

function requireFewTexts(count: number, { type }: ColumnDecoder): number {
  if (count <= MAX_PAGE_TEXTS || (type !== 'BYTE_ARRAY' && type !== 'FIXED_LEN_BYTE_ARRAY')) return count
  throw new Error(`a page claims ${count} texts, the limit is ${MAX_PAGE_TEXTS}: write it with smaller pages`)
}

/** Bit-packed values come in groups of eight, and some writers pad a whole block of groups. */
const PACKED_ROOM = 512

/** @throws Error for a run that extends beyond the values of the page. */
function checkRuns(reader: Reader, width: number, values: number): void {
  for (let seen = 0; seen < values && reader.offset < reader.view.byteLength; ) {
    const { isPacked, length, end } = readHybridRun(reader.view, reader.offset, width)
    if (length > values - seen + (isPacked ? PACKED_ROOM : 0)) {
      throw new Error(`a page with ${values} values has a run that claims ${length} of them`)
    }
    seen += length
    reader.offset = end
  }
}

/**
 * Each text may repeat a prefix of the previous one, so a few bytes can stand for a long text many
 * times.
 */
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
