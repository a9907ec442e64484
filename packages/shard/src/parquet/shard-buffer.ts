// Sinks for the bytes of a shard. The writer passes views, many of them of the caller's own arrays,
// so that writing a vector costs no copy. A sink that keeps the bytes must copy them.

import { ReembedError } from '@reembed/shared'

/** Receives the next bytes of the file, which are valid only until the call returns. */
export type ByteSink = (bytes: Uint8Array) => void

/** A sink that holds the whole file, for the conditional put of a shard. */
export interface ShardBuffer {
  readonly sink: ByteSink
  /** The file so far. Valid until the sink is called again. */
  bytes(): Uint8Array
  /**
   * Begins another file in the same memory. The caller must no longer use the bytes of the previous
   * file.
   */
  clear(): void
}

/** A pool of reusable buffers. It grows to the number of concurrent files. */
export interface ShardBufferPool {
  acquire(): ShardBuffer
  /**
   * Returns a buffer whose bytes are no longer in use. After a failed put, which may still read
   * them, drop the buffer.
   */
  release(buffer: ShardBuffer): void
}

/**
 * Maximum size of a shard. This much address space is reserved; memory is committed only for
 * written bytes.
 */
const MAX_BYTES = 2 ** 30
const STEP_BYTES = 4 * 2 ** 20
const FIRST_BYTES = 64 * 2 ** 10

/**
 * Makes a buffer that grows in place: a file of 64 MiB takes 64 MiB. Growing by copying would need
 * double for a moment. Its sink throws SHARD_FAILED for a shard of more than 1 GiB.
 */
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

/**
 * Makes a pool of buffers. The system zeroes fresh memory, which takes longer than all the writing
 * (docs/benchmarks.md).
 */
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
