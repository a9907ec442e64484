// Counts tokens without a tokenizer: by what the parts of texts cost at the server's `/tokenize`.
// Planning measures the costs once and writes them to the output, so each worker cuts the same
// chunks, without a request. A count is an estimate whose factor covers most texts of the corpus;
// what the model does not read of a chunk is counted as of any text.

import { amount, count, filledText, is, list, record, requireShape, type Shape } from '@reembed/shared'
import type { CountTokens } from './split.ts'

/** The kinds of parts of a text; a part that was not measured costs as its kind does. */
export const PART_KINDS = ['latin', 'letters', 'ideographs', 'digits', 'space', 'marks'] as const
export type PartKind = (typeof PART_KINDS)[number]

export interface TokenCosts {
  readonly format: 'token-costs'
  /** Name of the model whose server was asked. */
  readonly model: string
  /** Tokens that frame every text. */
  readonly specialTokens: number
  /** Tokens of a text, as a multiple of the sum over its parts. */
  readonly factor: number
  /** Tokens of a part, alone. */
  readonly parts: readonly (readonly [part: string, tokens: number])[]
  /** Tokens of each character of the parts that were not measured. */
  readonly perCharacter: Readonly<Record<PartKind, number>>
}

const pair: Shape = (value, path) =>
  is(() => Array.isArray(value) && typeof value[0] === 'string' && Number(value[1]) >= 0)(value, path)

const shape: Shape = record<TokenCosts>({
  format: is(value => value === 'token-costs'),
  model: filledText,
  specialTokens: count,
  factor: amount,
  parts: list(pair),
  perCharacter: record<TokenCosts['perCharacter']>({
    latin: amount,
    letters: amount,
    ideographs: amount,
    digits: amount,
    space: amount,
    marks: amount,
  }),
})

export const isTokenCosts = (file: unknown): boolean => Object(file).format === 'token-costs'

/** @throws ReembedError CORRUPT */
export const parseTokenCosts = (file: unknown, sourceName: string): TokenCosts =>
  requireShape(shape, file, sourceName)

/** Scripts that are written without spaces. */
const UNSPACED =
  '[\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}]+'
const PARTS = new RegExp(
  `(${UNSPACED})|((?:\\p{Script=Latin}\\p{M}*)+)|(\\p{N}+)|(\\s+)|((?:(?!${UNSPACED})[\\p{L}\\p{M}])+)|([^\\s\\p{L}\\p{M}\\p{N}]+)`,
  'gu',
)
const KINDS: readonly PartKind[] = ['ideographs', 'latin', 'digits', 'space', 'letters', 'marks']

/** The parts of a text, single spaces left out: words, runs of digits, white space, punctuation. */
export function* partsOf(text: string): Generator<[part: string, kind: PartKind], void, undefined> {
  for (const match of text.matchAll(PARTS)) {
    const [part] = match
    if (part === ' ') continue
    const kind = KINDS[match.findIndex((group, i) => i > 0 && group !== undefined) - 1]
    yield [part, kind ?? 'marks']
  }
}

/** A counter by costs. */
export function countByCosts({
  parts,
  perCharacter,
  factor,
}: Omit<TokenCosts, 'format' | 'model'>): CountTokens {
  const known = new Map(parts)
  return text => {
    let tokens = 0
    for (const [part, kind] of partsOf(text))
      tokens += known.get(part) ?? Math.min(Buffer.byteLength(part), perCharacter[kind] * part.length)
    return Math.ceil(tokens * factor)
  }
}
