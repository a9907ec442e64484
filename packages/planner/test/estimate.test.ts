// Estimates of the corpus from a sample.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { estimateTotal } from '../src/estimate/estimate.ts'
import { quoteRun } from '../src/estimate/quote.ts'
import { sampleInputs } from '../src/estimate/sample-inputs.ts'
import { openCorpus } from '../src/open-corpus.ts'
import { planRun } from '../src/plan.ts'

// The same examples in each run.
fc.configureGlobal({ seed: 1 })

const model = { id: 'm', revision: 'r', dimensions: 8, pooling: 'mean', normalized: true }
const request = { inputs: 31, tokens: Number.POSITIVE_INFINITY, canaries: ['one two', 'one two three four'] }
const words = (text: string): number => text.split(' ').length
const countTokens = async (texts: readonly string[]): Promise<number[]> => texts.map(words)

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-estimate-'))
})
afterEach(() => rm(folder, { recursive: true }))

async function sampled(files: Record<string, string | Buffer>) {
  for (const [name, body] of Object.entries(files)) await writeFile(join(folder, name), body)
  await using corpus = await openCorpus(folder)
  return sampleInputs(corpus, await planRun(corpus, { model }))
}

const jsonl = (texts: readonly string[]): string =>
  texts.map((text, i) => `${JSON.stringify({ id: `${i}`, text })}\n`).join('')
const text = (length: number): string => Array(length).fill('word').join(' ')
const quoteOf = async (...given: Parameters<typeof quoteRun>) => (await quoteRun(...given)).quote
const options = { prompt: '', countTokens, truncate: true, maxInputLength: null, request }

test('the estimate of tokens is within 5 % and the stated error when texts grow along the corpus', async () => {
  const lengths = Array.from({ length: 8000 }, (_, i) => 1 + Math.floor(i / 100) + ((i * 7919) % 13))
  const {
    tokens,
    canaryTokens,
    relativeError,
    sampled: looked,
    inputs,
  } = await quoteOf(await sampled({ 'a.jsonl': jsonl(lengths.map(text)) }), options)
  const real = lengths.reduce((sum, one) => sum + one, 0)
  const off = Math.abs(tokens - canaryTokens - real) / real
  expect(off).toBeLessThan(0.05)
  expect(off).toBeLessThan(2 * (relativeError ?? 0))
  expect(relativeError).toBeLessThan(0.05)
  expect(looked).toBeLessThan(600)
  expect(Math.abs(inputs - 8000) / 8000).toBeLessThan(0.05)
  // 31 documents go with one canary of 3 tokens in the mean.
  expect(canaryTokens).toBe(Math.round((3 * inputs) / 31))
})

test('a quote is exact, each format by its own ratio, for a corpus that is read whole', async () => {
  const quote = await quoteOf(
    await sampled({
      'a.jsonl': jsonl([text(3), text(5), '']),
      'b.csv': `id,text\nx,${text(7)}\n`,
      'c.md': text(11),
    }),
    { ...options, request: { ...request, canaries: [] }, maxInputLength: 10 },
  )
  // The empty text is never sent, the longest one is cut.
  expect(quote).toMatchObject({ tokens: 3 + 5 + 7 + 10, inputs: 4, relativeError: 0, canaryTokens: 0 })
})

test('a quote counts each format once when its time is over, by a server that refuses expired requests', async () => {
  const quote = await quoteOf(await sampled({ 'a.jsonl': jsonl([text(3), text(5)]), 'c.md': text(11) }), {
    ...options,
    request: { ...request, canaries: [] },
    deadline: AbortSignal.abort(),
    async countTokens(texts, signal) {
      signal?.throwIfAborted()
      return texts.map(words)
    },
  })
  expect(quote.tokens).toBe(3 + 5 + 11)
})

test('a sample of one compressed stream counts several hundred texts from its start and states an error', async () => {
  const lengths = Array.from({ length: 8000 }, (_, i) => 1 + ((i * 7919) % 97))
  const packed = gzipSync(jsonl(lengths.map(text)))
  const {
    tokens,
    canaryTokens,
    relativeError,
    sampled: looked,
  } = await quoteOf(await sampled({ 'c4.json.gz': packed }), options)
  const off = Math.abs(tokens - canaryTokens - lengths.reduce((sum, one) => sum + one, 0))
  expect(looked).toBeGreaterThan(400)
  expect(relativeError).toBeGreaterThan(0)
  expect(off / tokens).toBeLessThan(0.05)
})

test('a quote estimates tokens without an error when none are counted, and applies rate and price', async () => {
  const quote = await quoteOf(await sampled({ 'a.jsonl': jsonl(['x'.repeat(400)]) }), {
    ...options,
    countTokens: async () => null,
    request: { ...request, canaries: [] },
    tokensPerSecond: 10,
    price: { perHour: 3600, replicas: 2 },
    coldStartSeconds: 5,
  })
  expect(quote).toMatchObject({ tokens: 100, relativeError: null, seconds: 10, dollars: 30 })
})

test('the interval of an estimate covers the truth about 19 times in 20', () => {
  let covered = 0
  let tried = 0
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 0, max: 9 })), {
        minLength: 400,
        maxLength: 400,
      }),
      rows => {
        const all = rows.map(([units, noise]) => ({ units, tokens: 3 * units + noise }))
        const clusters = all
          .filter((_, i) => i % 10 === 0)
          .map(({ units, tokens }) => ({
            stratum: 'jsonl' as const,
            units,
            representedUnits: 1,
            documents: [],
            rejected: 0,
            tokens,
          }))
        const units = new Map([['jsonl', all.reduce((sum, row) => sum + row.units, 0)]])
        const truth = all.reduce((sum, row) => sum + row.tokens, 0)
        const { total, error } = estimateTotal(
          { clusters, units },
          place => (place as (typeof clusters)[number]).tokens,
        )
        tried += 1
        if (Math.abs(total - truth) <= error * total) covered += 1
      },
    ),
    { seed: 1, numRuns: 300 },
  )
  expect(covered / tried).toBeGreaterThan(0.9)
  expect(covered / tried).toBeLessThan(0.99)
})
