// What slices of compressed objects cost. A stream of one frame can only be read from its start, so each of its slices
// unpacks all that lies before it: n slices unpack n/2 times what the object holds.

import type { Compression, Slice } from '@reembed/protocol'

/** An object whose slices unpack it many times over. */
export interface Reread {
  readonly key: string
  readonly compression: Compression
  readonly slices: number
  /** Bytes that all its slices unpack, by bytes that it holds. */
  readonly times: number
}

/** Eight slices of one frame; with fewer it is not worth a word. */
const WORTH_TELLING = 4.5

export interface RereadCount {
  add(slice: Slice): void
  /** The object that is unpacked most often, if that is often. */
  worst(): Reread | undefined
}

/** To be told of all slices in their order. */
export function createRereadCount(): RereadCount {
  let worst: Reread | undefined
  let current = { key: '', slices: 0, unpacked: 0 }
  return {
    add({ parts }) {
      for (const { key, compression, seek, end } of parts) {
        if (compression === undefined) continue
        if (key !== current.key) current = { key, slices: 0, unpacked: 0 }
        current.slices += 1
        current.unpacked += end - (seek?.at ?? 0)
        const times = current.unpacked / end
        if (times >= Math.max(WORTH_TELLING, worst?.times ?? 0)) {
          worst = { key, compression, slices: current.slices, times }
        }
      }
    },
    worst: () => worst,
  }
}
