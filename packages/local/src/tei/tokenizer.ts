// A fast tokenizer (tokenizer.json) with truncation on either side and token spans, as TEI needs
// them.

import { Tokenizer as Fast } from '@huggingface/tokenizers'
import { interruptAfter } from '@reembed/shared'
import type { EncodeOptions, Encoding, Token } from './engine.ts'
import { TeiError } from './errors.ts'

/**
 * Declared here because the type declarations of the library use imports without extensions, which
 * Node's module resolution does not find.
 */
interface FastTokenizer {
  encode(text: string, options?: { add_special_tokens?: boolean }): { ids: number[]; tokens: string[] }
  decode(ids: number[], options: { skip_special_tokens: boolean }): string
  id_to_token(id: number): string | undefined
}

/** The token ids of a text. */
export interface TokenIds extends Encoding {
  readonly ids: readonly number[]
}

export interface Tokenizer {
  encode(text: string, options: EncodeOptions): TokenIds
  decode(ids: readonly number[], skipSpecialTokens: boolean): string
  tokenize(text: string, specialTokens: boolean): readonly Token[]
}

/**
 * Ignores truncation and padding of the file, as TEI does: some packaged files truncate to 128
 * tokens and pad to a fixed length.
 * @param limitMs longest time for one text, beyond which a call throws a TeiError 'Tokenizer'
 */
export function createTokenizer(file: object, config: object, limitMs: number = LIMIT_MS): Tokenizer {
  const fast: FastTokenizer = new Fast({ ...file, truncation: null, padding: null }, config)
  const within = <T>(ms: number, work: () => T): T => interruptAfter(ms, work, () => tooSlow(ms))
  // The special tokens before and after every text, derived from a sample: [CLS] and [SEP], <s> and
  // </s>, or none.
  const body = within(LIMIT_MS, () => fast.encode('a', { add_special_tokens: false }).ids)
  const framed = within(LIMIT_MS, () => fast.encode('a').ids)
  const start = framed.indexOf(body[0] ?? -1)
  const before = framed.slice(0, start)
  const after = framed.slice(start + body.length)

  function encode(text: string, { specialTokens, truncate }: EncodeOptions): TokenIds {
    const { ids } = within(limitMs, () => fast.encode(text, { add_special_tokens: false }))
    const frame = specialTokens ? before.length + after.length : 0
    const room = (truncate?.tokens ?? Infinity) - frame
    const kept = ids.length <= room ? ids : truncate?.side === 'left' ? ids.slice(-room) : ids.slice(0, room)
    const framed = specialTokens ? [...before, ...kept, ...after] : kept
    return { ids: framed, length: framed.length, wholeLength: ids.length + frame }
  }

  return {
    encode,
    decode: (ids, skipSpecialTokens) => fast.decode([...ids], { skip_special_tokens: skipSpecialTokens }),
    tokenize(text, specialTokens) {
      const special = (id: number): Token => ({
        id,
        text: fast.id_to_token(id) ?? '',
        special: true,
        start: null,
        stop: null,
      })
      const { ids, tokens } = within(limitMs, () => fast.encode(text, { add_special_tokens: false }))
      const characters = [...text]
      const spans = spansOf(characters, tokens)
      const inner = ids.map((id, i): Token => {
        const { start, stop } = spans[i] ?? NO_SPAN
        const shown = start === null ? (tokens[i] ?? '') : characters.slice(start, stop ?? start).join('')
        return { id, text: shown, special: false, start, stop }
      })
      return specialTokens ? [...before.map(special), ...inner, ...after.map(special)] : inner
    },
  }
}

/** A tokenizer takes about a second for a MiB of text. */
const LIMIT_MS = 30_000
const tooSlow = (ms: number): TeiError =>
  new TeiError(
    'Tokenizer',
    `Tokenizer error: more than ${ms / 1000} s for one text: the regular expressions of tokenizer.json backtrack without end`,
    'tokenization',
  )

const NO_SPAN = { start: null, stop: null } as const

/** UTF-16 units that are searched for a token; doubled up to the maximum while none is found. */
const SEARCHED = 256
const MAX_SEARCHED = 64 * 1024

/**
 * Finds the span of each token in the text, both in lower case without accents, because the library
 * returns no offsets. A token that does not occur in the text, such as an unknown one, gets no
 * span. The search is bounded, so that the time is linear in the text however many tokens do not
 * occur.
 */
function spansOf(
  characters: readonly string[],
  tokens: readonly string[],
): { start: number | null; stop: number | null }[] {
  /** Index of the code point of each UTF-16 unit of the haystack. */
  const origin: number[] = []
  const folded = characters.map((character, i) => {
    const part = fold(character)
    for (let unit = 0; unit < part.length; unit++) origin.push(i)
    return part
  })
  const haystack = folded.join('')
  let at = 0
  let searched = SEARCHED
  return tokens.map(token => {
    const needle = fold(token.replace(/^(##|\u2581|\u0120)/u, ''))
    const found = needle === '' ? -1 : haystack.slice(at, at + searched + needle.length).indexOf(needle)
    if (found < 0) {
      if (needle !== '') searched = Math.min(MAX_SEARCHED, searched * 2)
      return NO_SPAN
    }
    searched = SEARCHED
    const start = at + found
    at = start + needle.length
    return { start: origin[start] ?? null, stop: (origin[at - 1] ?? 0) + 1 }
  })
}

const fold = (text: string): string =>
  text
    .normalize('NFD')
    .replace(/\p{Mn}/gu, '')
    .toLowerCase()
