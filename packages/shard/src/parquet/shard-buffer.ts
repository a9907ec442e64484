// Where the bytes of a shard go. The writer hands out views, many of them of its callers' own arrays, so that
// writing a vector costs no copy; a sink that wants to keep the bytes copies them.

import { ReembedError } from '@reembed/shared'

/** Takes the next bytes of the file. They are only good until the call returns. */
export type ByteSink = (bytes: Uint8Array) => void

/** A sink that holds the whole file, for the one conditional put of a shard. */
export interface ShardBuffer {
  readonly sink: ByteSink
  /** The file so far. Valid until the sink is called again. */
  bytes(): Uint8Array
  /** Begins another file in the same memory. Nobody may use the bytes of the last one any more. */
  clear(): void
}

/** Buffers that are used again, as many as there are files under way. */
export interface ShardBufferPool {
  acquire(): ShardBuffer
  /** For a file whose bytes nobody uses any more; after a failed put that is not known, so drop the buffer then. */
  release(buffer: ShardBuffer): void
}

/** The most a shard may be. Address space of that size is set aside, memory is taken for what was written. */
const MAX_BYTES = 2 ** 30
const STEP_BYTES = 4 * 2 ** 20
const FIRST_BYTES = 64 * 2 ** 10

/** Grows in place: a file of 64 MiB takes 64 MiB, never the double that growing by copying needs for a while. */
export function createShardBuffer(): ShardBuffer {
  const memory = new ArrayBuffer(0, { maxByteLength: MAX_BYTES })
  let size = 0
  return {
    sink: bytes => {
      const end = size + bytes.length
      if (end > MAX_BYTES) {
        throw new ReembedError(
          'SHARD_FAILED',
          'the shard is larger than 1 GiB: plan the run with smaller shards',
        )
      }
      if (end > memory.byteLength) {
        const step = end <= FIRST_BYTES ? FIRST_BYTES : STEP_BYTES
        memory.resize(Math.ceil(end / step) * step)
      }
      new Uint8Array(memory).set(bytes, size)
      size = end
    },
    bytes: () => new Uint8Array(memory, 0, size),
    clear: () => {
      size = 0
    },
  }
}

/** The system clears fresh memory page by page, which takes longer than all the writing (docs/benchmarks.md). */
export function createShardBufferPool(): ShardBufferPool {
  const free: ShardBuffer[] = []
  return {
    acquire: () => free.pop() ?? createShardBuffer(),
    release(buffer) {
      buffer.clear()
      free.push(buffer)
    },
  }
}
