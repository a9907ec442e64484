// Counts tokens with the model's own tokenizer, read from its tokenizer.json, or by measured costs.

import { Tokenizer } from '@huggingface/tokenizers'
import { messageOf, ReembedError } from '@reembed/shared'
import type { CountTokens } from './split.ts'
import { countByCosts, isTokenCosts, parseTokenCosts } from './token-costs.ts'

/**
 * The declarations of the library import without extensions, which Node's resolution does not find:
 * types are any.
 */
interface FastTokenizer {
  encode(text: string, options?: { add_special_tokens?: boolean }): { ids: number[] }
}

export interface ModelTokenizer {
  readonly countTokens: CountTokens
  /** Number of tokens that frame every text: [CLS] and [SEP], <s> and </s>, or none. */
  readonly specialTokens: number
}

/**
 * Makes a tokenizer from the content of a tokenizer.json, or of a file of costs; `sourceName` names
 * it in messages.
 * Truncation and padding of the file are ignored, as in TEI.
 * @throws ReembedError USAGE if the content is not a tokenizer.json.
 */
export function createTokenizer(json: string, sourceName: string): ModelTokenizer {
  try {
    const file = JSON.parse(json) as object
    if (isTokenCosts(file)) {
      const costs = parseTokenCosts(file, sourceName)
      return { countTokens: countByCosts(costs), specialTokens: costs.specialTokens }
    }
    const fast: FastTokenizer = new Tokenizer({ ...file, truncation: null, padding: null }, {})
    const countTokens: CountTokens = text =>
      text === '' ? 0 : fast.encode(text, { add_special_tokens: false }).ids.length
    return { countTokens, specialTokens: fast.encode('a').ids.length - countTokens('a') }
  } catch (cause) {
    throw new ReembedError('USAGE', `${sourceName} is not a valid tokenizer.json: ${messageOf(cause)}`, {
      cause,
    })
  }
}
