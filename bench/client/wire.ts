// What the processes of the client bench agree on.

export const DIMENSIONS: number = Number(process.env.BENCH_DIMENSIONS ?? 768)

/**
 * The vector that the server has for input `i` of any request: of norm 1, and of every kind of
 * bits.
 */
export function vectorOf(i: number): Float32Array {
  const vector = new Float32Array(DIMENSIONS)
  let state = i + 1
  let sum = 0
  for (let d = 0; d < DIMENSIONS; d++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    vector[d] = state / 2 ** 31
    sum += (vector[d] ?? 0) ** 2
  }
  return vector.map(value => value / Math.sqrt(sum))
}

/** 32 texts of 2 KB. */
export const texts: readonly string[] = Array.from({ length: 32 }, (_, i) =>
  `text ${i}, of a length that documents have. `.repeat(60).slice(0, 2_000),
)
