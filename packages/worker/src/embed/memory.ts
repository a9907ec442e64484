// Memory for the vectors of windows, used again. Fresh megabytes for every window become garbage
// faster than they are collected: a worker's peak was 60 MiB higher (docs/benchmarks.md).

export interface VectorMemory {
  /**
   * `length` floats, all zero: a row that nobody wrote must never show another document's vector.
   */
  take(length: number): Float32Array
  /**
   * For memory that came from `take` and that nobody uses any more. What a failed job held is left
   * to the collector.
   */
  release(vectors: Float32Array): void
}

/**
 * Windows differ by a few rows; this much is taken more, so that the memory of one fits the next.
 */
const STEP_FLOATS = 64 * 1024

export function createVectorMemory(): VectorMemory {
  const free: Float32Array[] = []
  return {
    take(length) {
      const known = free.pop()
      // One that is too small is dropped: the model has changed, or it was a short window's.
      const whole =
        known && known.length >= length
          ? known.fill(0, 0, length)
          : new Float32Array(Math.ceil(length / STEP_FLOATS) * STEP_FLOATS)
      return whole.subarray(0, length)
    },
    release(vectors) {
      free.push(new Float32Array(vectors.buffer))
    },
  }
}
