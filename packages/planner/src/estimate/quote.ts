// Quotes a run: tokens from a sample, time and cost from the endpoint's measured rate and its
// price.

import { dollarsOf, type Price, type Quote } from '@reembed/protocol'
import { estimateTotal, nonEmptyDocuments } from './estimate.ts'
import type { InputSample } from './sample-inputs.ts'

export interface QuoteOptions {
  readonly prompt: string
  /**
   * Number of tokens of each text, the prompt and the model's special tokens included; null if
   * neither a tokenizer nor the endpoint can count them.
   */
  readonly countTokens: ((texts: readonly string[]) => Promise<number[] | null>) | undefined
  /** Whether texts over the limit are cut to it; else they become rejects and cost nothing. */
  readonly truncate: boolean
  readonly maxInputLength: number | null
  /**
   * The maximum size of a request, and the canary texts, one of which is sent with each request.
   */
  readonly request: { readonly inputs: number; readonly tokens: number; readonly canaries: readonly string[] }
  readonly tokensPerSecond?: number | undefined
  readonly price?: Price | undefined
  readonly coldStartSeconds?: number | undefined
}

/** Average for English; other languages have fewer. */
const CHARS_PER_TOKEN = 4

/** Estimates tokens, seconds and dollars of all documents that the sample represents. */
export async function quoteRun(sample: InputSample, options: QuoteOptions): Promise<Quote> {
  const { prompt, truncate, maxInputLength, price, tokensPerSecond = null } = options
  const { canaries, ...request } = options.request
  const texts = sample.clusters.flatMap(({ documents }) =>
    nonEmptyDocuments(documents).map(({ text }) => prompt + text),
  )
  const counted = (await options.countTokens?.([...texts, ...canaries])) ?? null
  const most = maxInputLength ?? Number.POSITIVE_INFINITY
  const tokensOf = new Map(
    [...texts, ...canaries].map((text, i): [string, number] => {
      const tokens = counted?.[i] ?? Math.ceil(text.length / CHARS_PER_TOKEN)
      return [text, tokens <= most ? tokens : truncate ? most : 0]
    }),
  )
  const sumOf = (some: readonly string[]): number =>
    some.reduce((sum, text) => sum + (tokensOf.get(text) ?? 0), 0)
  const documents = estimateTotal(sample, place =>
    sumOf(nonEmptyDocuments(place.documents).map(({ text }) => prompt + text)),
  )
  const inputs = estimateTotal(sample, place => nonEmptyDocuments(place.documents).length)
  const requests = Math.max(inputs.total / request.inputs, documents.total / request.tokens)
  const canaryTokens = Math.round((requests * sumOf(canaries)) / Math.max(1, canaries.length))
  const tokens = Math.round(documents.total) + canaryTokens
  const seconds = tokensPerSecond === null ? null : tokens / tokensPerSecond
  const coldStartSeconds = options.coldStartSeconds ?? 0
  return {
    tokens,
    canaryTokens,
    relativeError: counted === null ? null : documents.error,
    inputs: Math.round(inputs.total),
    sampled: texts.length,
    tokensPerSecond,
    seconds,
    price: price ?? null,
    dollars: price && seconds !== null ? dollarsOf(seconds + coldStartSeconds, price) : null,
    coldStartSeconds,
  }
}
