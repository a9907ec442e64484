// Reads one part (a byte range) of a JSONL object. A line belongs to the part that contains its
// first byte:
//
//   object   |line 1 ..........|line 2 ....|line 3 ..................|line 4 .....|
//   cuts     0           A             B                C                      size
//   part 0-A |line 1 ..........|                 reads on past A until line 1 ends
//   part A-B                   |line 2 ....|line 3 ..................|
//   part B-C                                     no line begins here: an empty range, [C, C)
//   part C-size                                                      |line 4 .....|
//
// The planner can therefore cut at any byte without reading the data. The ranges that were read
// adjoin exactly; empty ranges are the only exception.
//
// A compressed object is cut at decompressed offsets, and only at line starts. Its parts need no
// byte before `start`.

import type { PartRead, SlicePart, SourceRecord } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { streamContent } from '../bytes/decompress.ts'
import { createLineScanner } from '../bytes/lines.ts'
import { requireUtf8 } from '../format.ts'
import type { ReadPartOptions } from '../record-mapper.ts'
import { createReject } from '../reject.ts'
import { MAX_RECORD_BYTES } from '../value/record-values.ts'
import { parseLine } from './parse-line.ts'

/**
 * Size of the first read past the end of a part, for its last line. Each further read doubles, up
 * to the maximum.
 */
const TAIL_BYTES = 64 * 1024
const MAX_TAIL_BYTES = 8 * 1024 * 1024
/**
 * Size of the first piece whose lines are parsed together. Each further piece doubles: a sample of
 * a few records must not parse a thousand lines of a chunk.
 */
const FIRST_PIECE_BYTES = 4 * 1024

/**
 * Yields the records of one part in order, in arrays of a chunk of bytes at most. Returns the range
 * that was read. Memory: one chunk, its records, and one unfinished line of at most
 * MAX_RECORD_BYTES.
 */
export async function* readJsonl(
  store: Store,
  part: SlicePart,
  { index, mapper, signal }: ReadPartOptions,
): AsyncGenerator<SourceRecord[], PartRead, undefined> {
  const { key, etag, start, end, compression } = part
  const extent = part.extent ?? part.size
  let records: SourceRecord[] = []
  let lines = 0
  let begin = end

  // Reading starts one byte early. If that byte is a '\n', a line begins at `start`. Otherwise the
  // bytes up to the next '\n' belong to a line of the previous part.
  let at = compression === undefined ? Math.max(0, start - 1) : start
  const scanner = createLineScanner(at, MAX_RECORD_BYTES, {
    line(bytes, from, to, offset) {
      if (offset < start) return
      if (lines === 0) begin = offset
      lines += 1
      if (offset === 0) requireUtf8(key, bytes.subarray(from, to))
      const parsed = parseLine(bytes, from, to, mapper.needsExactNumbers)
      if (parsed === undefined) return
      const position = { part: index, offset, line: lines }
      if ('reason' in parsed) {
        records.push(createReject(parsed.reason, parsed.message, position))
        return
      }
      records.push(mapper.map(parsed.record, position))
    },
    lineTooLong(length, offset) {
      if (offset < start) return
      if (lines === 0) begin = offset
      lines += 1
      const message = `the line has ${length} bytes, the limit is ${MAX_RECORD_BYTES}`
      records.push(createReject('too_large', message, { part: index, offset, line: lines }))
    },
  })

  let to = end
  let tail = TAIL_BYTES
  let pieceBytes = FIRST_PIECE_BYTES
  while (at < to) {
    for await (const chunk of streamContent(store, { ...part, start: at, end: to }, signal)) {
      at += chunk.length
      for (let from = 0; from < chunk.length && scanner.offset < end; pieceBytes *= 2) {
        scanner.push(chunk.subarray(from, from + pieceBytes), end)
        from += pieceBytes
        if (records.length > 0) yield records
        records = []
      }
      if (scanner.offset >= end) break
    }
    const linePending = scanner.offset < end
    if (linePending && at < to) throw endedEarly(part, at, to)
    // If the scanner is still inside a line of the previous part, that part reads the line, and
    // this part is empty.
    if (linePending && scanner.offset >= start) to = Math.min(extent, to + tail)
    tail = Math.min(tail * 2, MAX_TAIL_BYTES)
  }
  if (at === extent) scanner.finish()
  if (records.length > 0) yield records
  return { key, etag, start: begin, end: lines === 0 ? end : scanner.offset, lines }
}

/**
 * The etag matched, so a short read is a fault of the store or the network: a retry can succeed.
 */
const endedEarly = ({ key }: SlicePart, at: number, to: number): ReembedError =>
  new ReembedError('CORRUPT', `reading ${JSON.stringify(key)} ended at byte ${at}, expected ${to}`, {
    retry: 'retry',
  })
