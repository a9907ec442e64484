// What the processes of the fleet bench agree on: texts of 128 tokens, as the fake counts them,
// none like the other.

export const DIMENSIONS = 384
export const TEXTS_PER_REQUEST = 16
export const TOKENS_PER_TEXT = 128
const WORDS = 'a quick brown fox jumps over lazy dogs while vectors run and rest by night'.split(' ')

export const textOf = (i: number): string =>
  [`t${i}`, ...Array.from({ length: TOKENS_PER_TEXT - 1 }, (_, k) => WORDS[(i + k * 7) % WORDS.length])].join(
    ' ',
  )
