// Counts tokens with the model's own tokenizer, read from its tokenizer.json, or by measured costs.

import { Tokenizer } from '@huggingface/tokenizers'
import { interruptAfter, messageOf, ReembedError } from '@reembed/shared'
import type { CountTokens } from './split.ts'
import { countByCosts, isTokenCosts, parseTokenCosts } from './token-costs.ts'

/**
 * The declarations of the library import without extensions, which Node's resolution does not find:
 * types are any.
 */
interface FastTokenizer {
  encode(text: string, options?: { add_special_tokens?: boolean }): { ids: number[] }
}

/** A tokenizer takes about a second for a MiB of text. */
const LIMIT_MS = 10_000
const MIB = 2 ** 20

export interface ModelTokenizer {
  /** @throws ReembedError USAGE for a text that takes longer than 10 s, and 10 s for each MiB */
  readonly countTokens: CountTokens
  /** Calls `work`, which makes chunks of this text. The limit is 6 times as long. */
  readonly limited?: (<T>(text: string, work: () => T) => T) | undefined
  /** Number of tokens that frame every text: [CLS] and [SEP], <s> and </s>, or none. */
  readonly specialTokens: number
}

/**
 * Makes a tokenizer from the content of a tokenizer.json, or of a file of costs; `sourceName` names
 * it in messages.
 * Truncation and padding of the file are ignored, as in TEI.
 * @throws ReembedError USAGE if the content is not a tokenizer.json, or if it takes too long for a
 *   character
 */
export function createTokenizer(
  json: string,
  sourceName: string,
  limitMs: number = LIMIT_MS,
): ModelTokenizer {
  try {
    const file = JSON.parse(json) as object
    if (isTokenCosts(file)) {
      const costs = parseTokenCosts(file, sourceName)
      return { countTokens: countByCosts(costs), specialTokens: costs.specialTokens }
    }
    const fast: FastTokenizer = new Tokenizer({ ...file, truncation: null, padding: null }, {})
    const within = <T>(baseMs: number, text: string, work: () => T): T => {
      const ms = baseMs * (1 + text.length / MIB)
      return interruptAfter(ms, work, () => tooSlow(sourceName, text, ms))
    }
    const count = (text: string): number => fast.encode(text, { add_special_tokens: false }).ids.length
    return {
      countTokens: text => (text === '' ? 0 : within(limitMs, text, () => count(text))),
      limited: (text, work) => within(6 * limitMs, text, work),
      specialTokens: within(LIMIT_MS, 'a', () => fast.encode('a').ids.length - count('a')),
    }
  } catch (cause) {
    if (cause instanceof ReembedError) throw cause
    throw new ReembedError('USAGE', `${sourceName} is not a valid tokenizer.json: ${messageOf(cause)}`, {
      cause,
    })
  }
}

const tooSlow = (sourceName: string, text: string, ms: number): ReembedError =>
  new ReembedError(
    'USAGE',
    `${sourceName} takes more than ${Math.round(ms / 1000)} s for a text of ${text.length} characters, ${JSON.stringify(text.slice(0, 40))}: its regular expressions backtrack without end; use the file of the model's author`,
    { option: 'tokenizer' },
  )
