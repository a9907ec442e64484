// Sums over parts of arrays, without copies.

export function dotAt(a: Float32Array, atA: number, b: Float32Array, atB: number, length: number): number {
  let sum = 0
  for (let i = 0; i < length; i += 1) sum += (a[atA + i] ?? 0) * (b[atB + i] ?? 0)
  return sum
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? 0
}
