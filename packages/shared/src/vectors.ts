// Validation of vectors: finite, not zero, and of norm 1 where the model normalises.

/**
 * Maximum deviation of a norm from 1 where the model normalises. Half precision causes about 1e-3.
 */
export const NORM_TOLERANCE = 1e-2

/**
 * Returns the Euclidean norm of one row. The result is NaN or Infinity if a value is: squares of
 * float32 values cannot overflow a double, so the norm alone detects such a value.
 */
export function normOf(vectors: Float32Array, row: number, dimensions: number): number {
  const start = row * dimensions
  const end = start + dimensions
  // Four independent sums, because an addition waits for the result of the previous one.
  let a = 0
  let b = 0
  let c = 0
  let d = 0
  let i = start
  for (; i + 3 < end; i += 4) {
    a += (vectors[i] as number) ** 2
    b += (vectors[i + 1] as number) ** 2
    c += (vectors[i + 2] as number) ** 2
    d += (vectors[i + 3] as number) ** 2
  }
  for (; i < end; i++) a += (vectors[i] as number) ** 2
  return Math.sqrt(a + b + c + d)
}

/**
 * Returns indexes into `rows` of invalid vectors: not finite, zero, or if `normalized`, of a norm
 * other than 1.
 */
export function badRowsOf(
  vectors: Float32Array,
  rows: readonly number[],
  dimensions: number,
  normalized: boolean,
): number[] {
  const bad: number[] = []
  rows.forEach((row, i) => {
    const norm = normOf(vectors, row, dimensions)
    const good = normalized ? Math.abs(norm - 1) <= NORM_TOLERANCE : norm > 0 && norm < Infinity
    if (!good) bad.push(i)
  })
  return bad
}

/** Returns the cosine similarity of two vectors of the same length. */
export function cosine(a: Float32Array, b: Float32Array): number {
  let dot = 0
  for (let i = 0; i < a.length; i++) dot += (a[i] as number) * (b[i] as number)
  return dot / (normOf(a, 0, a.length) * normOf(b, 0, b.length))
}
