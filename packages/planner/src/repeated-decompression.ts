// The cost of slices of compressed objects. A stream of one frame can only be read from its start,
// so each slice decompresses all bytes before it: n slices decompress n/2 times the object's size.

import type { Compression, Slice } from '@reembed/protocol'

/** An object whose slices decompress it many times. */
export interface RepeatedDecompression {
  readonly key: string
  readonly compression: Compression
  readonly slices: number
  /** Bytes that all its slices decompress, divided by the bytes of its content. */
  readonly factor: number
}

/** Eight slices of one frame; a lower factor is not reported. */
const REPORT_FACTOR = 4.5

export interface DecompressionCounter {
  add(slice: Slice): void
  /** The object with the highest factor, if that is worth reporting. */
  worst(): RepeatedDecompression | undefined
}

/** Counts over the slices of a plan, added in their order. */
export function createDecompressionCounter(): DecompressionCounter {
  let worst: RepeatedDecompression | undefined
  let current = { key: '', slices: 0, decompressed: 0 }
  return {
    add({ parts }) {
      for (const { key, compression, seek, end } of parts) {
        if (compression === undefined) continue
        if (key !== current.key) current = { key, slices: 0, decompressed: 0 }
        current.slices += 1
        current.decompressed += end - (seek?.contentOffset ?? 0)
        const factor = current.decompressed / end
        if (factor >= Math.max(REPORT_FACTOR, worst?.factor ?? 0)) {
          worst = { key, compression, slices: current.slices, factor }
        }
      }
    },
    worst: () => worst,
  }
}
