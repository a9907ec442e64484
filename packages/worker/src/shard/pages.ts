// What lies inside a column chunk: pages, each a header and a body that ends at the end of a row.
//
//   id            header | zstd( length, UTF-8, length, UTF-8, ... )
//   embedding     header | repetition levels | definition levels | rows x dimensions x 4 bytes, as in memory
//   content_hash  header | rows x 16 bytes, as in memory
//
// Data pages are of version 1: Snowflake's default scanner and older engines refuse version 2.

import { constants, zstdCompressSync } from 'node:zlib'
import type { Statistics } from 'hyparquet'

/** A page without its header. */
export interface Page {
  readonly rows: number
  /** Values in the page: rows, or rows x dimensions in a list column. */
  readonly values: number
  readonly body: readonly Uint8Array[]
  /** Bytes of the body before compression. */
  readonly rawBytes: number
}

/** Pages end with the first row that does not fit. A row larger than this has a page of its own. */
export const PAGE_BYTES: number = 2 ** 20

/** How many rows of `rowBytes` make a page. */
export const pageRows = (rowBytes: number): number => Math.max(1, Math.floor(PAGE_BYTES / rowBytes))

export interface FixedOptions {
  /** Bytes of one row. */
  readonly rowBytes: number
  readonly valuesPerRow?: number
  /** What stands in front of the values of so many rows. */
  readonly levels?: (rows: number) => Uint8Array
}

const NO_LEVELS = new Uint8Array(0)

/** Pages of rows that are written as they lie in memory. The bodies are views of `parts`: nothing is copied. */
export function* fixedPages(
  parts: readonly Uint8Array[],
  { rowBytes, valuesPerRow = 1, levels = () => NO_LEVELS }: FixedOptions,
): Generator<Page, void, undefined> {
  for (const values of cut(parts, pageRows(rowBytes) * rowBytes)) {
    const valueBytes = values.reduce((sum, part) => sum + part.length, 0)
    const rows = valueBytes / rowBytes
    const head = levels(rows)
    yield { rows, values: rows * valuesPerRow, body: [head, ...values], rawBytes: head.length + valueBytes }
  }
}

/** Cuts a run of byte arrays every `size` bytes. */
function* cut(parts: readonly Uint8Array[], size: number): Generator<Uint8Array[], void, undefined> {
  let piece: Uint8Array[] = []
  let room = size
  for (let part of parts) {
    while (part.length >= room) {
      piece.push(part.subarray(0, room))
      part = part.subarray(room)
      yield piece
      piece = []
      room = size
    }
    if (part.length > 0) piece.push(part)
    room -= part.length
  }
  if (piece.length > 0) yield piece
}

/**
 * Pages of strings, compressed. Puts the least and the greatest, in the order of their UTF-8 bytes, into `statistics`,
 * which is complete when the last page is out.
 */
export function* stringPages(
  strings: readonly string[],
  statistics: Statistics,
): Generator<Page, void, undefined> {
  let min: Buffer | undefined
  let max: Buffer | undefined
  for (let row = 0; row < strings.length; ) {
    const first = row
    const page = Buffer.allocUnsafe(Math.max(PAGE_BYTES, maxBytes(strings[row] ?? '')))
    let size = 0
    let [minStart, minEnd, maxStart, maxEnd] = [0, 0, 0, 0]
    for (; row < strings.length; row++) {
      const text = strings[row] ?? ''
      if (size + maxBytes(text) > page.length) break
      const start = size + 4
      const bytes = page.write(text, start)
      page.writeUInt32LE(bytes, size)
      size = start + bytes
      if (row === first || page.compare(page, minStart, minEnd, start, size) < 0) {
        minStart = start
        minEnd = size
      }
      if (row === first || page.compare(page, maxStart, maxEnd, start, size) > 0) {
        maxStart = start
        maxEnd = size
      }
    }
    const least = page.subarray(minStart, minEnd)
    const greatest = page.subarray(maxStart, maxEnd)
    if (min === undefined || least.compare(min) < 0) statistics.min_value = min = Buffer.from(least)
    if (max === undefined || greatest.compare(max) > 0) statistics.max_value = max = Buffer.from(greatest)
    yield { rows: row - first, values: row - first, body: [compress(page.subarray(0, size))], rawBytes: size }
  }
}

/** A UTF-16 unit makes at most 3 bytes of UTF-8; the length in front takes 4. */
const maxBytes = (text: string): number => 4 + 3 * text.length

const compress = (bytes: Uint8Array): Uint8Array =>
  zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } })
