// Quotes a run: tokens from a sample, time and cost from the endpoint's measured rate and its
// price.

import { dollarsOf, type Price, type Quote, type TextEstimate } from '@reembed/protocol'
import { type CountTokens, countSample } from './count-sample.ts'
import { estimateTotal, nonEmptyDocuments } from './estimate.ts'
import type { InputSample } from './sample-inputs.ts'
import { estimateTexts } from './texts.ts'

export interface QuoteOptions {
  readonly prompt: string
  /** Null where neither tokenizer nor endpoint counts. */
  readonly countTokens: CountTokens | undefined
  /** Ends the counting of tokens. */
  readonly deadline?: AbortSignal | undefined
  /** Called with the number of texts counted, and of all. */
  readonly onCounted?: ((done: number, of: number) => void) | undefined
  /** Whether the texts are chunks, which fit the model. */
  readonly chunked?: boolean | undefined
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

export interface QuotedRun {
  readonly quote: Quote
  readonly texts: TextEstimate
  /** The part of the sample whose tokens were counted. */
  readonly sample: InputSample
}

/** Estimates tokens, seconds and dollars of all documents that the sample represents. */
export async function quoteRun(sampled: InputSample, options: QuoteOptions): Promise<QuotedRun> {
  const { prompt, truncate, maxInputLength, price, tokensPerSecond = null } = options
  const { canaries, ...request } = options.request
  const countedSample = await countSample(sampled, {
    prompt,
    countTokens: options.countTokens,
    more: canaries,
    deadline: options.deadline,
    onProgress: options.onCounted,
  })
  const { sample, tokensOf, counted } = countedSample
  const most = maxInputLength ?? Number.POSITIVE_INFINITY
  const readOf = (text: string): number => {
    const tokens = tokensOf.get(text) ?? 0
    return tokens <= most ? tokens : truncate ? most : 0
  }
  const sumOf = (some: readonly string[]): number => some.reduce((sum, text) => sum + readOf(text), 0)
  const documents = estimateTotal(sample, place =>
    sumOf(nonEmptyDocuments(place.documents).map(({ text }) => prompt + text)),
  )
  const inputs = estimateTotal(sample, place => nonEmptyDocuments(place.documents).length)
  const requests = Math.max(inputs.total / request.inputs, documents.total / request.tokens)
  const canaryTokens = Math.round((requests * sumOf(canaries)) / Math.max(1, canaries.length))
  const tokens = Math.round(documents.total) + canaryTokens
  const seconds = tokensPerSecond === null ? null : tokens / tokensPerSecond
  const coldStartSeconds = options.coldStartSeconds ?? 0
  const quote: Quote = {
    tokens,
    canaryTokens,
    relativeError: counted ? documents.error : null,
    inputs: Math.round(inputs.total),
    sampled: sample.clusters.flatMap(place => nonEmptyDocuments(place.documents)).length,
    tokensPerSecond,
    seconds,
    price: price ?? null,
    dollars: price && seconds !== null ? dollarsOf(seconds + coldStartSeconds, price) : null,
    coldStartSeconds,
  }
  const cuts = truncate && options.chunked !== true
  return { quote, sample, texts: estimateTexts(countedSample, { prompt, limit: maxInputLength, cuts }) }
}
