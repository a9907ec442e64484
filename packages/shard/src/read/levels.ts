// Checks levels in Parquet's hybrid of run-length encoding and bit packing, with one bit for each
// level.

import { readHybridRun } from '@reembed/shared'

/**
 * Calls `isRight` for each run of equal levels in order. @throws Error if it returns false, or if
 * levels are missing.
 */
export function checkLevels(
  bytes: Buffer,
  count: number,
  isRight: (start: number, length: number, level: number) => boolean,
): void {
  const check = (start: number, length: number, level: number): void => {
    if (!isRight(start, length, level))
      throw new Error(`has an unexpected repetition or definition level at value ${start}`)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  let seen = 0
  while (seen < count) {
    const { isPacked, length, offset, end } = readHybridRun(view, at, 1)
    if (length === 0) throw new Error('has an empty run of levels')
    if (isPacked) {
      // The last group may be padded with levels that belong to no value.
      const last = Math.min(count, seen + length)
      const first = seen
      while (seen < last) {
        const level = levelAt(bytes, offset, seen - first)
        let next = seen + 1
        while (next < last && levelAt(bytes, offset, next - first) === level) next += 1
        check(seen, next - seen, level)
        seen = next
      }
    } else {
      check(seen, length, bytes.readUInt8(offset))
      seen += length
    }
    at = end
  }
  if (seen !== count) throw new Error(`has ${seen} levels for ${count} values`)
}

function levelAt(bytes: Buffer, offset: number, nth: number): number {
  const byte = bytes[offset + (nth >> 3)]
  if (byte === undefined) throw new Error('has a run of levels that reaches beyond its page')
  return (byte >> (nth & 7)) & 1
}
