// Chunks: exact offsets, no more tokens than allowed, no text lost. The tokenizer is a simple one
// whose token counts do not add up over parts, which a splitter must handle.
// test/source/chunks.test.ts uses a real one.

import type { SourceRecord } from '@reembed/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { blocksOf, splitSpan } from '../src/chunk/blocks.ts'
import { chunkDocuments, splitOptionsOf } from '../src/chunk/chunk.ts'
import { type SplitOptions, splitText } from '../src/chunk/split.ts'
import { createTokenizer, type ModelTokenizer } from '../src/chunk/tokenizer.ts'

// The same examples in each run.
fc.configureGlobal({ seed: 1 })

/**
 * Tokens of four characters from the start of the text: two parts may have one token more than the
 * whole.
 */
const countTokens = (text: string): number => Math.ceil([...text].length / 4)
/** One token for each word and each line break, for tests with counted tokens. */
const words = (text: string): number => text.match(/\S+|\n/g)?.length ?? 0

const markdown = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '# A',
        '## B c',
        '### D ###',
        '',
        '```js',
        '```',
        '- item',
        '    indented',
        '#no heading',
      ),
      fc.string({ unit: 'grapheme', maxLength: 60 }),
      fc.lorem({ maxCount: 30 }),
    ),
    { maxLength: 40 },
  )
  .map(lines => lines.join('\n'))

describe('splitText', () => {
  it('makes ordered chunks within the limits that omit only white space', () => {
    fc.assert(
      fc.property(
        markdown,
        fc.integer({ min: 2, max: 60 }),
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        (text, maxTokens, share) => {
          const overlapTokens = Math.floor(maxTokens * share)
          const spans = splitText(text, { maxTokens, overlapTokens, countTokens })
          let covered = 0
          let previous = { charStart: -1, charEnd: 0 }
          for (const { charStart, charEnd } of spans) {
            const chunk = text.slice(charStart, charEnd)
            expect(chunk).toBe(chunk.trim())
            expect(chunk).not.toBe('')
            expect(countTokens(chunk)).toBeLessThanOrEqual(maxTokens)
            expect(chunk.isWellFormed() || !text.isWellFormed()).toBe(true)
            expect(charStart).toBeGreaterThan(previous.charStart)
            expect(charEnd).toBeGreaterThan(previous.charEnd)
            if (charStart > covered) expect(text.slice(covered, charStart).trim()).toBe('')
            if (charStart < covered) {
              expect(countTokens(text.slice(charStart, covered).trim())).toBeLessThanOrEqual(overlapTokens)
            }
            covered = charEnd
            previous = { charStart, charEnd }
          }
          expect(text.slice(covered).trim()).toBe('')
        },
      ),
      {
        numRuns: 1_000,
        examples: [
          ['   !\nmassa eleifend velit', 3, 0.34],
          ['### D ###\n    indented\n# A', 3, 0.34],
        ],
      },
    )
  })

  it('returns the whole text as one chunk if it fits', () => {
    expect(splitText('  # A\n\none two\n', { maxTokens: 50, overlapTokens: 10, countTokens: words })).toEqual(
      [{ charStart: 2, charEnd: 14, headings: ['A'] }],
    )
    expect(splitText(' \n ', { maxTokens: 50, overlapTokens: 10, countTokens: words })).toEqual([])
  })

  it('begins chunks at headings, records the heading path, and keeps paragraphs and code whole', () => {
    const text = [
      '# Guide',
      '',
      'one two three',
      '',
      '## Install',
      '',
      'four five',
      '',
      '```sh',
      'npm i',
      '',
      '# no heading',
      '```',
      '',
      'six seven eight',
      '',
      '## Use',
      'nine',
    ].join('\n')
    const chunks = splitText(text, { maxTokens: 14, overlapTokens: 0, countTokens: words })
    expect(
      chunks.map(({ charStart, charEnd, headings }) => [text.slice(charStart, charEnd), headings]),
    ).toEqual([
      ['# Guide\n\none two three', ['Guide']],
      ['## Install\n\nfour five', ['Guide', 'Install']],
      ['```sh\nnpm i\n\n# no heading\n```', ['Guide', 'Install']],
      ['six seven eight', ['Guide', 'Install']],
      ['## Use\nnine', ['Guide', 'Use']],
    ])
  })

  it('repeats whole words of the previous chunk as overlap', () => {
    const text = Array.from({ length: 40 }, (_, i) => `w${i}`).join(' ')
    const chunks = splitText(text, { maxTokens: 10, overlapTokens: 3, countTokens: words })
    expect(chunks.slice(0, 2).map(({ charStart, charEnd }) => text.slice(charStart, charEnd))).toEqual([
      'w0 w1 w2 w3 w4 w5 w6 w7 w8 w9',
      'w7 w8 w9 w10 w11 w12 w13 w14 w15 w16',
    ])
  })

  it('cuts a word that exceeds the limit, but never a surrogate pair', () => {
    const text = '🦉'.repeat(101)
    const chunks = splitText(text, { maxTokens: 5, overlapTokens: 0, countTokens })
    expect(chunks.map(({ charStart, charEnd }) => text.slice(charStart, charEnd)).join('')).toBe(text)
    expect(chunks.every(({ charStart, charEnd }) => text.slice(charStart, charEnd).isWellFormed())).toBe(true)
  })
})

describe('blocksOf and splitSpan', () => {
  it('cover the whole text without a gap', () => {
    fc.assert(
      fc.property(markdown, text => {
        expect(
          blocksOf(text)
            .map(({ start, end }) => text.slice(start, end))
            .join(''),
        ).toBe(text)
        if (text.length > 1) {
          const parts = splitSpan(text, 0, text.length)
          expect(parts.map(([from, to]) => text.slice(from, to)).join('')).toBe(text)
          expect(parts.every(([from, to]) => from < to)).toBe(true)
        }
      }),
    )
  })
})

describe('splitOptionsOf and createTokenizer', () => {
  const tokenizer = { countTokens: words, specialTokens: 2 }

  it('leave room for special tokens and the prompt', () => {
    const chunking = { maxTokens: 20, overlapTokens: 4, tokenizer: 'x' }
    expect(splitOptionsOf(chunking, tokenizer, 'search document: ').maxTokens).toBe(16)
    expect(() => splitOptionsOf({ ...chunking, maxTokens: 4 }, tokenizer, 'search document: ')).toThrow(
      'chunks of 4 tokens leave no room for text after 2 special tokens and the prompt',
    )
    expect(() => splitOptionsOf({ ...chunking, overlapTokens: 11 }, tokenizer, '')).toThrow(
      "an overlap of 11 tokens is more than half of a chunk's 18",
    )
  })

  it('refuse a tokenizer.json whose regular expression backtracks without end, in time', async () => {
    const pre_tokenizer = { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated', invert: false }
    const model = { type: 'WordLevel', vocab: { '[UNK]': 0 }, unk_token: '[UNK]' }
    const file = JSON.stringify({
      ...{ version: '1.0', added_tokens: [], normalizer: null, post_processor: null, decoder: null },
      ...{ pre_tokenizer, model },
    })
    const tokenizer = createTokenizer(file, "'x.json'", 50)
    const text = `${'a'.repeat(60)}!`
    const slow =
      /'x\.json' takes more than 0 s for a text of 61 characters, "a{40}": its regular expressions backtrack/
    expect(() => tokenizer.countTokens(text)).toThrow(slow)
    const options = splitOptionsOf({ maxTokens: 5, overlapTokens: 0, tokenizer: 'x' }, tokenizer, '')
    const document = { kind: 'document', id: 'a', text } as SourceRecord
    const chunks = chunkDocuments(
      (async function* () {
        yield document
      })(),
      options,
    )
    await expect(Array.fromAsync(chunks)).rejects.toThrow(slow)
  })

  it('count each token of a document, its context included, within its limit of time', async () => {
    const limits: string[] = []
    let [isLimited, outside] = [false, 0]
    const counting: ModelTokenizer = {
      specialTokens: 2,
      countTokens(counted) {
        if (!isLimited) outside += 1
        return words(counted)
      },
      limited(limited, work) {
        limits.push(limited)
        isLimited = true
        try {
          return work()
        } finally {
          isLimited = false
        }
      },
    }
    const chunking = { maxTokens: 42, overlapTokens: 0, tokenizer: 'x', context: {} }
    const options = splitOptionsOf(chunking, counting, '')
    outside = 0
    const text = `# Owls\n\n${'Owls hunt at night. '.repeat(60)}\n\n## Eyes\n\n${'They see well. '.repeat(60)}`
    const chunks = chunkDocuments(
      (async function* () {
        yield { kind: 'document', id: 'a', text, title: 'Birds' } as SourceRecord & { title: string }
      })(),
      options,
    )
    const made = await Array.fromAsync(chunks)
    expect(made.length).toBeGreaterThan(5)
    expect(made.at(-1)).toMatchObject({ text: expect.stringMatching(/^Birds > Owls > Eyes\n\n/) })
    expect({ outside, limits }).toEqual({ outside: 0, limits: [text] })
  })

  it('refuse an invalid tokenizer.json by name', () => {
    expect(() => createTokenizer('{"model": 1}', "'x.json'")).toThrow(
      /^'x\.json' is not a valid tokenizer\.json: /,
    )
  })
})

describe('chunkDocuments', () => {
  const position = { part: 0, offset: 0 }
  const onlyWords = (text: string): number => text.match(/[^\s>]+/g)?.length ?? 0

  /** The chunks of a document by id, with their texts. */
  async function chunksOf(
    { id = 'a', text, title }: { readonly id?: string; readonly text: string; readonly title?: string },
    options: Partial<SplitOptions> & { readonly maxTokens: number },
  ): Promise<[string, string][]> {
    async function* records(): AsyncGenerator<SourceRecord> {
      yield { kind: 'document', id, text, position, ...(title !== undefined && { title }) }
    }
    const chunks = await Array.fromAsync(
      chunkDocuments(records(), { overlapTokens: 0, countTokens: words, ...options }),
    )
    return chunks.map(record => [record.id ?? '', record.kind === 'document' ? record.text : ''])
  }

  it('puts title and headings in front of chunks, without those that a chunk begins with', async () => {
    const text =
      '# Guide\n\none two three four five six\n\n## Use\n\nseven eight\n\nnine ten eleven twelve x y'
    const options = { maxTokens: 12, hasContext: true, countTokens: onlyWords }
    expect(await chunksOf({ text, title: 'Handbook' }, options)).toEqual([
      ['a#0', 'Handbook\n\n# Guide\n\none two three four five six'],
      ['a#1', 'Handbook > Guide\n\n## Use\n\nseven eight'],
      ['a#2', 'Handbook > Guide > Use\n\nnine ten eleven twelve x y'],
    ])
    expect((await chunksOf({ text, title: 'Guide' }, options))[0]?.[1]).toBe(
      '# Guide\n\none two three four five six',
    )
  })

  it('leaves out the outer headings of a context that takes more than a quarter of a chunk', async () => {
    const text = `# Guide\n\n## Use\n\n${'w '.repeat(30)}`
    const chunks = await chunksOf(
      { text, title: 'Handbook' },
      { maxTokens: 10, hasContext: true, countTokens: onlyWords },
    )
    expect(chunks[1]?.[1].split('\n\n')[0]).toBe('Handbook > Use')
  })

  it('leaves a document whole that the model reads whole, with the context that fits', async () => {
    const whole = { maxTokens: 16, hasContext: true }
    expect(await chunksOf({ text: 'one two', title: 'T' }, whole)).toEqual([['a', 'T\n\none two']])
    const full = 'w '.repeat(16).trim()
    expect(await chunksOf({ text: full, title: 'T' }, whole)).toEqual([['a', full]])
    expect(await chunksOf({ text: ' one ', title: 'T' }, { maxTokens: 16 })).toEqual([['a', ' one ']])
  })

  it('leaves out white space around a document for which the limit has no room', async () => {
    const text = '\n!\n!\namet\n- item'
    expect(await chunksOf({ text }, { maxTokens: 9 })).toEqual([['a', text]])
    expect(await chunksOf({ text }, { maxTokens: 8 })).toEqual([['a#0', text.trim()]])
  })

  it('keeps chunks with their context within the limit, whatever the headings', async () => {
    await fc.assert(
      fc.asyncProperty(
        markdown,
        fc.string({ maxLength: 300 }),
        fc.integer({ min: 8, max: 60 }),
        async (text, title, maxTokens) => {
          const chunks = await chunksOf({ text, title }, { maxTokens, hasContext: true })
          for (const [, chunk] of chunks) expect(words(chunk)).toBeLessThanOrEqual(maxTokens)
          const plain = await chunksOf({ text }, { maxTokens })
          expect(chunks.length).toBeGreaterThanOrEqual(plain.length)
        },
      ),
    )
  })

  it('gives no two chunks one id, also where a document has the id of a chunk', async () => {
    const long = 'w '.repeat(20)
    const ids: string[][] = []
    for (const id of ['a', 'a#0', 'a#1', 'a#1#0', 'a#x'])
      for (const text of ['short', long])
        ids.push((await chunksOf({ id, text }, { maxTokens: 8 })).map(([chunk]) => chunk))
    expect(ids[0]).toEqual(['a'])
    expect(ids[2]).toEqual(['a#0#0'])
    expect(ids[8]).toEqual(['a#x'])
    // Any mix of long and short documents.
    for (let mix = 0; mix < 32; mix++) {
      const all = [0, 1, 2, 3, 4].flatMap(document => ids[document * 2 + ((mix >> document) & 1)] ?? [])
      expect(new Set(all).size).toBe(all.length)
    }
  })
})
