// Quotes a planned run from the corpus, the tokenizer, the live endpoint and its price.

import type { ModelTokenizer } from '@reembed/corpus'
import {
  type Endpoint,
  MAX_BYTES_PER_TOKEN,
  type ResolvedEndpoint,
  requestShape,
  toError,
  truncateToBytes,
} from '@reembed/endpoint'
import type { Price, Quote, Recipe, TextEstimate } from '@reembed/protocol'
import type { Corpus } from './corpus.ts'
import { benchmarkEndpoint } from './estimate/benchmark.ts'
import type { CountTokens } from './estimate/count-sample.ts'
import { quoteRun } from './estimate/quote.ts'
import { type InputSample, sampleInputs } from './estimate/sample-inputs.ts'
import type { PlanNotice } from './options.ts'
import type { PlannedRun } from './record-plan.ts'
import type { ReuseForecast } from './reuse-forecast.ts'
import type { SpendingOptions } from './run-budget.ts'

/** Duration of the measurement: the rate of a GPU is stable within it. */
const RATE_SECONDS = 3
const RATE_REQUESTS = 8
const RATE_FIRST_TEXTS = 4
/** Time that a request of the measurement may take, and all concurrent ones one after another. */
const RATE_REQUEST_MS = 500
const RATE_ROUND_MS = 2_000
/** Maximum share of the endpoint's permits that the measurement uses. */
const RATE_PERMIT_SHARE = 0.5
/** Share of a request's payload limit that is filled: JSON may escape every other character. */
const RATE_PAYLOAD_SHARE = 0.5
/** Time to read the sample, and to count its tokens. The part that was read and counted is used. */
const SAMPLE_MS = 2_000
const COUNT_MS = 3_000
const COUNTED_BYTES = 64 * 1024
/** A shorter wait counts as no cold start. */
const COLD_MS = 1_000

export interface Quoted {
  readonly quote: Quote
  readonly texts: TextEstimate
  /** The part of the sample whose tokens were counted. */
  readonly sample: InputSample
  readonly countTokens: CountTokens
}

/**
 * Quotes a planned run: samples its inputs, counts their tokens, and measures the endpoint.
 * @param options.measureThroughput whether to measure the endpoint's rate, which costs seconds and
 * some tokens
 */
export async function quotePlan(
  corpus: Corpus,
  planned: PlannedRun,
  endpoint: Endpoint,
  {
    tokenizer,
    reuse: { toEmbed },
    price,
    measureThroughput,
    resolved,
    onNotice,
  }: {
    readonly reuse: Pick<ReuseForecast, 'toEmbed'>
    readonly tokenizer: ModelTokenizer | undefined
    readonly price: Price | undefined
    readonly measureThroughput: boolean
    readonly resolved: ResolvedEndpoint
    readonly onNotice: (notice: PlanNotice) => void
  },
): Promise<Quoted> {
  const { recipe, estimatedDocuments } = planned.head
  const sample = await sampleInputs(corpus, planned, {
    tokenizer,
    deadline: AbortSignal.timeout(SAMPLE_MS),
    onProgress: (done, of) => onNotice({ kind: 'progress', step: 'sampling', done, of }),
  })
  const countTokens = createTokenCounter(endpoint, tokenizer)
  const coldStartMs = resolved.hf?.coldStartMs ?? 0
  // The time for counting begins below: the measurement takes as long.
  const tokensPerSecond =
    measureThroughput && toEmbed > 0
      ? await measureRate(endpoint, await textsAsSent(sample, recipe, endpoint, countTokens), onNotice)
      : undefined
  const quoted = await quoteRun(sample, {
    prompt: recipe.prompt,
    truncate: recipe.truncate,
    maxInputLength: endpoint.info.maxInputLength,
    countTokens,
    deadline: AbortSignal.timeout(COUNT_MS),
    onCounted: (done, of) => onNotice({ kind: 'progress', step: 'counting_tokens', done, of }),
    chunked: recipe.chunking !== undefined,
    request: requestShape(endpoint),
    price,
    tokensPerSecond,
    coldStartSeconds: coldStartMs < COLD_MS ? 0 : coldStartMs / 1000,
  })
  const share = Math.min(1, toEmbed / Math.max(1, estimatedDocuments))
  return { ...quoted, quote: scaleQuote(quoted.quote, share), countTokens }
}

/**
 * Counts tokens with the tokenizer, else by the endpoint; null where neither can. Counts are kept:
 * a preview counts the same texts again when the endpoint is closed.
 */
function createTokenCounter(
  endpoint: Endpoint,
  tokenizer: ModelTokenizer | undefined,
): Quoted['countTokens'] {
  const known = new Map<string, number>()
  return async (texts, signal) => {
    const fresh = [...new Set(texts)].filter(text => !known.has(text))
    const counted = tokenizer
      ? fresh.map(text => countByPrefix(text, tokenizer))
      : fresh.length === 0
        ? []
        : await endpoint.countTokens(
            fresh.map(text => text.toWellFormed()),
            { signal },
          )
    for (const [i, tokens] of (counted ?? []).entries()) known.set(fresh[i] ?? '', tokens)
    const all = texts.flatMap(text => known.get(text) ?? [])
    return all.length === texts.length ? all : null
  }
}

/** A long text is counted by its start and extrapolated, as the endpoint does it. */
function countByPrefix(text: string, { countTokens, specialTokens }: ModelTokenizer): number {
  const prefix = truncateToBytes(text, COUNTED_BYTES)
  const tokens = countTokens(prefix) + specialTokens
  return Math.round((tokens * text.length) / Math.max(1, prefix.length))
}

/** The texts of the sample as a worker would send them. */
async function textsAsSent(
  { clusters }: InputSample,
  { prompt, truncate }: Recipe,
  endpoint: Endpoint,
  countTokens: Quoted['countTokens'],
): Promise<string[]> {
  const { maxInputLength, payloadLimit } = endpoint.info
  const whole = clusters
    .flatMap(({ documents }) => documents.map(({ text }) => `${prompt}${text}`.toWellFormed()))
    .filter(text => text.trim() !== '')
  const most = maxInputLength ?? Number.POSITIVE_INFINITY
  const bytes = Math.floor((RATE_PAYLOAD_SHARE * payloadLimit) / requestShape(endpoint).inputs)
  if (truncate) return whole.map(text => truncateToBytes(text, Math.min(bytes, most * MAX_BYTES_PER_TOKEN)))
  const tokens = await countTokens(whole)
  return whole.filter((text, i) => Buffer.byteLength(text) <= bytes && (tokens?.[i] ?? 0) <= most)
}

/** The quote for the share of the run that is not reused. */
const scaleQuote = (quote: Quote, share: number): Quote => ({
  ...quote,
  tokens: Math.round(quote.tokens * share),
  canaryTokens: Math.round(quote.canaryTokens * share),
  inputs: Math.round(quote.inputs * share),
  seconds: quote.seconds === null ? null : quote.seconds * share,
  dollars: quote.dollars === null ? null : quote.dollars * share,
})

/**
 * Tokens a second of the endpoint with texts of this corpus; undefined if the endpoint does not
 * report tokens, or fails.
 */
async function measureRate(
  endpoint: Endpoint,
  texts: readonly string[],
  onNotice: (notice: PlanNotice) => void,
): Promise<number | undefined> {
  if (texts.length === 0) return undefined
  onNotice({ kind: 'progress', step: 'measuring', done: 0 })
  const { maxConcurrentRequests } = endpoint.info
  const mostTexts = Math.min(requestShape(endpoint).inputs, texts.length)
  try {
    // A slow endpoint gets small requests: each one in flight at the end is waited for.
    const textMs = await millisecondsPerText(endpoint, texts)
    const textsPerRequest = Math.max(1, Math.min(mostTexts, Math.floor(RATE_REQUEST_MS / textMs)))
    const concurrency = Math.max(
      1,
      Math.min(
        RATE_REQUESTS,
        Math.floor((RATE_PERMIT_SHARE * maxConcurrentRequests) / textsPerRequest),
        Math.floor(RATE_ROUND_MS / (textsPerRequest * textMs)),
      ),
    )
    const setting = { tokens: 0, textsPerRequest, concurrency }
    const { totalTokens, seconds } = await benchmarkEndpoint(endpoint, texts, setting, {
      seconds: RATE_SECONDS,
    })
    return totalTokens === null ? undefined : totalTokens / seconds
  } catch (error) {
    onNotice({ kind: 'rate_not_measured', error })
    return undefined
  }
}

/** Time of a text in a small request; the lower of two, because the first may open a connection. */
async function millisecondsPerText(endpoint: Endpoint, texts: readonly string[]): Promise<number> {
  const some = texts.slice(0, RATE_FIRST_TEXTS)
  const vectors = new Float32Array(some.length * endpoint.info.dimensions)
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < 2 && least > RATE_REQUEST_MS; i++) {
    const outcome = await endpoint.request(some, vectors)
    if (outcome.kind !== 'ok') throw toError(outcome, endpoint.url)
    least = Math.min(least, outcome.totalMs)
  }
  return Math.max(0.01, least / some.length)
}

/**
 * The given price, or what Hugging Face lists for the endpoint's hardware; undefined if neither is
 * known.
 */
export async function resolvePrice(
  { pricePerHour, replicas }: SpendingOptions,
  { hf }: ResolvedEndpoint,
): Promise<Price | undefined> {
  const paidFor = replicas ?? (hf ? Math.max(1, hf.initial.targetReplica, hf.initial.readyReplica) : 1)
  if (pricePerHour !== undefined) return { perHour: pricePerHour, replicas: paidFor }
  if (!hf) return undefined
  const { instance, region } = hf.initial
  const prices = await hf.api.prices(hf.name.namespace).catch(() => [])
  const listed = prices.find(price => price.instance === instance && price.region === region)
  return listed && { perHour: listed.pricePerHour, replicas: paidFor }
}
