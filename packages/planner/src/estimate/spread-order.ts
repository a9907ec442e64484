// An order of which every prefix represents the whole.

/** The values in the order of the reversed bits of the index: each prefix is spread evenly. */
export function spreadOrder<T>(values: readonly T[]): T[] {
  const bits = Math.max(1, Math.ceil(Math.log2(values.length)))
  return Array.from({ length: 2 ** bits }, (_, i) => {
    let reversed = 0
    for (let bit = 0; bit < bits; bit++) if ((i >> bit) & 1) reversed |= 1 << (bits - 1 - bit)
    return reversed
  }).flatMap(index => (index < values.length ? [values[index] as T] : []))
}
