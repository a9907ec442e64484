// int8 and ubinary by the formulas of sentence-transformers' `quantize_embeddings`, with its
// float32 arithmetic, so that queries quantised by that library match documents quantised here:
//
//   starts, steps   least value of each dimension, (greatest - least) / 255
//   int8            trunc((x - start) / step - 128)
//   ubinary         1 where x > 0, eight to a byte, the first dimension in the highest bit
//
// One difference: a value outside the ranges is clipped to them. The library lets it wrap around to
// the other end.

import { ReembedError } from '@reembed/shared'

export type Quantization = 'int8' | 'ubinary'

/** The least and the greatest value of each dimension: the `ranges` of the library. */
export interface Ranges {
  readonly min: Float32Array
  readonly max: Float32Array
}

/** Computes the ranges of all vectors in `batches`, which are rows of `dimensions` values. */
export async function rangesOf(
  batches: AsyncIterable<Float32Array> | Iterable<Float32Array>,
  dimensions: number,
): Promise<Ranges> {
  const min = new Float32Array(dimensions).fill(Number.POSITIVE_INFINITY)
  const max = new Float32Array(dimensions).fill(Number.NEGATIVE_INFINITY)
  for await (const vectors of batches) {
    // Indexed loops: for-of costs several times as much here.
    for (let i = 0; i < vectors.length; ) {
      for (let d = 0; d < dimensions; d++, i++) {
        const value = vectors[i] ?? 0
        if (value < (min[d] ?? 0)) min[d] = value
        if (value > (max[d] ?? 0)) max[d] = value
      }
    }
  }
  return { min, max }
}

/** Quantises rows to int8. A dimension whose values are all equal becomes -128 everywhere. */
export function toInt8(vectors: Float32Array, { min, max }: Ranges): Int8Array {
  const dimensions = min.length
  const steps = min.map((least, d) => Math.fround((max[d] ?? 0) - least) / 255)
  const quantized = new Int8Array(vectors.length)
  for (let i = 0; i < vectors.length; ) {
    for (let d = 0; d < dimensions; d++, i++) {
      const step = steps[d] ?? 0
      const level = step === 0 ? 0 : Math.fround(Math.fround((vectors[i] ?? 0) - (min[d] ?? 0)) / step)
      quantized[i] = Math.max(-128, Math.min(127, Math.trunc(Math.fround(level - 128))))
    }
  }
  return quantized
}

/**
 * @throws ReembedError USAGE if the bits do not fill whole bytes: the library packs only multiples
 * of eight
 */
export function requireWholeBytes(dimensions: number): void {
  if (dimensions % 8 === 0) return
  throw new ReembedError(
    'USAGE',
    `ubinary packs eight dimensions into a byte, and ${dimensions} is not a multiple of 8: embed with ${dimensions - (dimensions % 8) || 8} dimensions or export another type`,
    { option: 'vectors.dimensions' },
  )
}

/** Quantises rows to one bit for each dimension: `dimensions / 8` bytes for each row. */
export function toUbinary(vectors: Float32Array): Uint8Array {
  const packed = new Uint8Array(vectors.length / 8)
  for (let i = 0; i < vectors.length; i++) {
    if ((vectors[i] ?? 0) > 0) packed[i >> 3] = (packed[i >> 3] ?? 0) | (128 >> (i & 7))
  }
  return packed
}
