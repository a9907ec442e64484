/** Scales to length 1 in place. The sum is taken in float64, as in core/src/infer.rs. */
export function normalize(vector: Float32Array): void {
  let sum = 0
  for (const value of vector) sum += value * value
  const scale = Math.fround(1 / Math.sqrt(sum))
  for (let i = 0; i < vector.length; i++) vector[i] = (vector[i] ?? 0) * scale
}
