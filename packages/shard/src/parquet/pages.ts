// The pages of a column chunk. Each has a header and a body that ends at the end of a row.
//
//   id            header | zstd( length, UTF-8, length, UTF-8, ... )
//   embedding     header | repetition levels | definition levels | rows x dimensions x 4 bytes, as in memory
//   content_hash  header | rows x 16 bytes, as in memory
//   carried       header | zstd( definition levels, the values that are not null )
//
// Data pages have version 1: Snowflake's default scanner and older engines refuse version 2.

import { constants, zstdCompressSync } from 'node:zlib'

/** A page without its header. */
export interface Page {
  readonly rows: number
  /** Values in the page: rows, or rows x dimensions in a list column. */
  readonly values: number
  readonly body: readonly Uint8Array[]
  /** Bytes of the body before compression. */
  readonly uncompressedBytes: number
}

/** A page ends before the first row that does not fit. A larger row has its own page. */
export const PAGE_BYTES: number = 2 ** 20

/** Number of rows of `rowBytes` bytes in a page. */
export const pageRows = (rowBytes: number): number => Math.max(1, Math.floor(PAGE_BYTES / rowBytes))

export interface FixedPageOptions {
  /** Bytes of one row. */
  readonly rowBytes: number
  readonly valuesPerRow?: number
  /** Makes the levels that precede the values of a number of rows. */
  readonly levels?: (rows: number) => Uint8Array
  /** Whether bodies are compressed. Otherwise they are views of `parts`. */
  readonly compressed?: boolean
}

const NO_LEVELS = new Uint8Array(0)

/** Yields pages of rows that are stored as in memory. Without compression, nothing is copied. */
export function* fixedPages(
  parts: readonly Uint8Array[],
  { rowBytes, valuesPerRow = 1, levels = () => NO_LEVELS, compressed = false }: FixedPageOptions,
): Generator<Page, void, undefined> {
  for (const values of cut(parts, pageRows(rowBytes) * rowBytes)) {
    const valueBytes = values.reduce((sum, part) => sum + part.length, 0)
    const rows = valueBytes / rowBytes
    const head = levels(rows)
    const body = [head, ...values]
    yield {
      rows,
      values: rows * valuesPerRow,
      body: compressed ? [compress(Buffer.concat(body))] : body,
      uncompressedBytes: head.length + valueBytes,
    }
  }
}

/** Cuts consecutive byte arrays into pieces of `size` bytes. */
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

/** Compresses with zstd level 1: higher levels take several times as long for a few percent. */
export const compress = (bytes: Uint8Array): Uint8Array =>
  zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } })
