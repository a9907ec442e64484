// Reuses the memory of vectors between windows. Allocating megabytes per window outpaces the
// garbage collector: a worker's peak is 60 MiB higher (docs/benchmarks.md).

export interface VectorMemory {
  /** `length` floats, all zero: a row without a vector must never hold that of another document. */
  take(length: number): Float32Array
  /**
   * Returns memory of `take` for reuse. A failed job leaves its memory to the garbage collector.
   */
  release(vectors: Float32Array): void
}

/**
 * Sizes are rounded up to this step, so that the memory of a window fits the next one with a few
 * more rows.
 */
const STEP_FLOATS = 64 * 1024

export function createVectorMemory(): VectorMemory {
  const free: Float32Array[] = []
  return {
    take(length) {
      const known = free.pop()
      // Memory that is too small is released: it was allocated for another model or for a short
      // window.
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
