// What slices of compressed objects cost. A stream of one frame can only be read from its start, so
// each of its slices unpacks all that lies before it: n slices unpack n/2 times what the object
// holds.

import type { Compression, Slice } from '@reembed/protocol'

/** An object whose slices unpack it many times over. */
export interface RepeatedDecompression {
  readonly key: string
  readonly compression: Compression
  readonly slices: number
  /** Bytes that all its slices unpack, by bytes that it holds. */
  readonly factor: number
}

/** Eight slices of one frame; with fewer it is not worth a word. */
const REPORT_FACTOR = 4.5

export interface DecompressionCounter {
  add(slice: Slice): void
  /** The object that is unpacked most often, if that is often. */
  worst(): RepeatedDecompression | undefined
}

/** To be told of all slices in their order. */
export function createDecompressionCounter(): DecompressionCounter {
  let worst: RepeatedDecompression | undefined
  let current = { key: '', slices: 0, unpacked: 0 }
  return {
    add({ parts }) {
      for (const { key, compression, seek, end } of parts) {
        if (compression === undefined) continue
        if (key !== current.key) current = { key, slices: 0, unpacked: 0 }
        current.slices += 1
        current.unpacked += end - (seek?.contentOffset ?? 0)
        const factor = current.unpacked / end
        if (factor >= Math.max(REPORT_FACTOR, worst?.factor ?? 0)) {
          worst = { key, compression, slices: current.slices, factor }
        }
      }
    },
    worst: () => worst,
  }
}
