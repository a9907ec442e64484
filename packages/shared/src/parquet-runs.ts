// Runs of Parquet's hybrid of run-length encoding and bit packing, which encodes levels and
// dictionary indexes:
//
//   run      varint (length << 1)        one value, in as many whole bytes as its bit width needs
//   packed   varint (groups << 1 | 1)    groups of 8 values at the bit width, lowest bit first
//
// Source: parquet-format, Encodings.md, RLE = 3.

export interface HybridRun {
  readonly isPacked: boolean
  /**
   * Number of values: a claim that the caller must check. The last group of a packed run may be
   * padded.
   */
  readonly length: number
  /** Offset of the first byte after the header. */
  readonly offset: number
  /** Offset of the next run. May be beyond the end of the bytes. */
  readonly end: number
}

/**
 * Reads the header of the run at `offset`. @throws RangeError if the bytes end inside the header
 */
export function readHybridRun(view: DataView, offset: number, bitWidth: number): HybridRun {
  let at = offset
  let header = 0
  for (let shift = 0, byte = 0x80; byte & 0x80; shift += 7) {
    byte = view.getUint8(at++)
    header += (byte & 0x7f) * 2 ** shift
  }
  const isPacked = header % 2 === 1
  const count = Math.floor(header / 2)
  return {
    isPacked,
    length: isPacked ? 8 * count : count,
    offset: at,
    end: at + (isPacked ? count * bitWidth : (bitWidth + 7) >> 3),
  }
}
