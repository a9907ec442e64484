// The model's own tokenizer, from its tokenizer.json.

import { Tokenizer } from '@huggingface/tokenizers'
import { messageOf, ReembedError } from '@reembed/shared'
import type { CountTokens } from './split.ts'

/** The library's own declarations import without extensions, which Node's resolution does not find: so, any. */
interface FastTokenizer {
  encode(text: string, options?: { add_special_tokens?: boolean }): { ids: number[] }
}

export interface ModelTokenizer {
  readonly countTokens: CountTokens
  /** Tokens that frame every text: [CLS] and [SEP], <s> and </s>, or none. */
  readonly specialTokens: number
}

/**
 * Takes the content of a tokenizer.json, `name` as it shall stand in messages. Its own truncation and padding are left
 * aside, as in TEI.
 * @throws ReembedError USAGE if it is none.
 */
export function createTokenizer(json: string, sourceName: string): ModelTokenizer {
  try {
    const file = JSON.parse(json) as object
    const fast: FastTokenizer = new Tokenizer({ ...file, truncation: null, padding: null }, {})
    const countTokens: CountTokens = text =>
      text === '' ? 0 : fast.encode(text, { add_special_tokens: false }).ids.length
    return { countTokens, specialTokens: fast.encode('a').ids.length - countTokens('a') }
  } catch (cause) {
    throw new ReembedError(
      'USAGE',
      `${sourceName} is no tokenizer.json that can be read: ${messageOf(cause)}`,
      {
        cause,
      },
    )
  }
}
