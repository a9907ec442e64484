// Checks levels in Parquet's hybrid of run-length encoding and bit packing, with one bit for each level.
//
//   run      varint (length << 1)        one byte: the level
//   packed   varint (groups << 1 | 1)    one byte per group: 8 levels, lowest bit first

/** Calls `isRight` for each run of equal levels in order. @throws Error if it returns false, or if levels are missing. */
export function checkLevels(
  bytes: Buffer,
  count: number,
  isRight: (start: number, length: number, level: number) => boolean,
): void {
  const check = (start: number, length: number, level: number): void => {
    if (!isRight(start, length, level)) throw new Error(`has a wrong level at value ${start}`)
  }
  let at = 0
  let seen = 0
  while (seen < count) {
    let header = 0
    for (let shift = 0, byte = 0x80; byte & 0x80; shift += 7) {
      byte = bytes.readUInt8(at++)
      header += (byte & 0x7f) * 2 ** shift
    }
    if (header < 2) throw new Error('has an empty run of levels')
    if (header % 2 === 0) {
      check(seen, header / 2, bytes.readUInt8(at++))
      seen += header / 2
    } else {
      // The last group may be padded with levels that belong to no value.
      const end = Math.min(count, seen + 8 * Math.floor(header / 2))
      for (let bit = 0; seen < end; bit++, seen++) {
        check(seen, 1, (bytes.readUInt8(at + (bit >> 3)) >> (bit & 7)) & 1)
      }
      at += Math.floor(header / 2)
    }
  }
  if (seen !== count) throw new Error(`has ${seen} levels for ${count} values`)
}
