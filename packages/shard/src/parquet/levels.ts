// Writes repetition and definition levels in Parquet's hybrid of run-length encoding and bit
// packing, with one bit for each level.
//
// The levels of a list column mark the starts of its rows. Every vector has `dimensions` values and
// no nulls, so each row has the same short pattern:
//
//   repetition   0 1 1 1 ... 1 | 0 1 1 1 ... 1 | ...   as runs: "once 0", "dimensions - 1 times 1", ...
//   definition   1 1 1 1 ... 1   1 1 1 1 ... 1   ...   as runs: "rows x dimensions times 1"
//
// A run-length encoded run may have any length (only bit-packed runs come in groups of 8), so the
// dimension need not be a multiple of 8. The cost is 4 or 5 bytes for each row.

import { ByteWriter } from 'hyparquet-writer/src/bytewriter.js'

/**
 * Returns a function that makes both levels for a number of rows, each with its length prefix (data
 * page version 1).
 */
export function createLevels(dimensions: number): (rows: number) => Uint8Array {
  // A file has full pages and a few shorter last ones, so few results are cached.
  const made = new Map<number, Uint8Array>()
  return rows => {
    const levels = made.get(rows) ?? writeLevels(rows, dimensions)
    made.set(rows, levels)
    return levels
  }
}

function writeLevels(rows: number, dimensions: number): Uint8Array {
  const repetition = new ByteWriter()
  if (dimensions === 1) {
    appendRun(repetition, 0, rows)
  } else {
    for (let row = 0; row < rows; row++) {
      appendRun(repetition, 0, 1)
      appendRun(repetition, 1, dimensions - 1)
    }
  }
  const definition = new ByteWriter()
  appendRun(definition, 1, rows * dimensions)

  const levels = new ByteWriter()
  for (const runs of [repetition.getBytes(), definition.getBytes()]) {
    levels.appendUint32(runs.length)
    levels.appendBytes(runs)
  }
  return levels.getBytes()
}

/**
 * Definition levels of a flat column: 1 where a row has a value. One run if all are equal, else
 * bit-packed.
 */
export function definitionLevels(present: readonly boolean[]): Uint8Array {
  const levels = new ByteWriter()
  const first = present[0] ?? true
  if (present.every(here => here === first)) {
    appendRun(levels, first ? 1 : 0, present.length)
  } else {
    levels.appendVarInt((Math.ceil(present.length / 8) << 1) | 1)
    for (let row = 0; row < present.length; row += 8) {
      let byte = 0
      for (let bit = 0; bit < 8; bit++) if (present[row + bit]) byte |= 1 << bit
      levels.appendUint8(byte)
    }
  }
  const bytes = new ByteWriter()
  bytes.appendUint32(levels.offset)
  bytes.appendBytes(levels.getBytes())
  return bytes.getBytes()
}

function appendRun(writer: ByteWriter, level: 0 | 1, length: number): void {
  writer.appendVarInt(length << 1)
  writer.appendUint8(level)
}
