// The rows of PostgreSQL's COPY in its binary format.
//
//   stream   'PGCOPY\n' 0xff '\r\n' 0 | flags | length of extension | extension | rows | -1 as int16
//   row      number of fields as int16; per field: its length as int32 (-1 for null), its bytes
//
// https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format"

import { ReembedError } from '@reembed/shared'

/** The fields of a row; null for a null of SQL. */
export type CopiedRow = readonly (Buffer | null)[]

const FIXED_HEADER_BYTES = 19
const EXTENSION_LENGTH_AT = 15
const END = -1

/**
 * Yields the rows of a COPY, as many at a time as a chunk completes. Holds one chunk and one
 * unfinished row.
 * @throws ReembedError STORE_UNREACHABLE if the stream ends before its trailer
 */
export async function* readCopiedRows(
  chunks: AsyncIterable<Buffer>,
): AsyncGenerator<CopiedRow[], void, undefined> {
  let held: Buffer[] = []
  let size = 0
  /** Bytes without which nothing more can be read: a long row is joined once. */
  let needed = FIXED_HEADER_BYTES
  let isHeaderRead = false
  let isEnded = false
  for await (const chunk of chunks) {
    held.push(chunk)
    size += chunk.length
    if (size < needed || isEnded) continue
    const bytes = held.length === 1 ? chunk : Buffer.concat(held)
    let at = 0
    if (!isHeaderRead) {
      needed = FIXED_HEADER_BYTES + bytes.readInt32BE(EXTENSION_LENGTH_AT)
      if (size < needed) {
        held = [bytes]
        continue
      }
      at = needed
      isHeaderRead = true
    }
    const rows: CopiedRow[] = []
    while (true) {
      const row = rowAt(bytes, at)
      if (row === END) isEnded = true
      if (row === END) break
      if (typeof row === 'number') {
        needed = row
        break
      }
      rows.push(row.fields)
      at = row.end
    }
    held = [bytes.subarray(at)]
    size = bytes.length - at
    if (rows.length > 0) yield rows
  }
  if (isEnded) return
  throw new ReembedError('STORE_UNREACHABLE', 'the rows of the table ended early: repeat the command')
}

/** The row that begins at an offset; how many bytes it needs, where some are missing; or `END`. */
function rowAt(bytes: Buffer, start: number): { fields: CopiedRow; end: number } | number {
  let at = start + 2
  if (at > bytes.length) return 2
  const count = bytes.readInt16BE(start)
  if (count === -1) return END
  const fields: (Buffer | null)[] = []
  for (let field = 0; field < count; field += 1) {
    if (at + 4 > bytes.length) return at + 4 - start
    const length = bytes.readInt32BE(at)
    at += 4
    if (length < 0) {
      fields.push(null)
      continue
    }
    if (at + length > bytes.length) return at + length - start
    fields.push(bytes.subarray(at, at + length))
    at += length
  }
  return { fields, end: at }
}
