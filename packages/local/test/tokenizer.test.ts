import { expect, test } from 'vitest'
import { createTokenizer } from '../src/tei/tokenizer.ts'

test('a tokenizer whose regular expression backtracks without end refuses the text in time, and reads the next', () => {
  const file = {
    ...{ version: '1.0', added_tokens: [], normalizer: null, post_processor: null, decoder: null },
    pre_tokenizer: { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated', invert: false },
    model: { type: 'WordLevel', vocab: { '[UNK]': 0, a: 1, b: 2 }, unk_token: '[UNK]' },
  }
  const tokenizer = createTokenizer(file, {}, 1_000)
  const options = { specialTokens: false }
  const slow = `${'a'.repeat(60)}!`
  const message =
    'Tokenizer error: more than 1 s for one text: the regular expressions of tokenizer.json backtrack without end'
  expect(() => tokenizer.encode(slow, options)).toThrow(message)
  expect(() => tokenizer.tokenize(slow, true)).toThrow(message)
  // A short text has a limit that a busy machine cannot exceed.
  expect(createTokenizer(file, {}, 60_000).encode('b', options).ids).toEqual([2])
})
