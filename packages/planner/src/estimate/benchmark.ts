// Measures an endpoint: requests, texts and tokens per second for a text length, a request size and
// a concurrency. It bypasses the worker's limiter, packing and shards.

import { type Endpoint, type Failure, isOverload, toError } from '@reembed/endpoint'
import { type Clock, systemClock } from '@reembed/shared'

export interface BenchmarkSetting {
  /** Tokens of each text, counted by the server. */
  readonly tokens: number
  readonly textsPerRequest: number
  readonly concurrency: number
}

export interface BenchmarkResult extends BenchmarkSetting {
  readonly seconds: number
  /** Answered with vectors within that time. */
  readonly requests: number
  readonly texts: number
  /** Counted by the server; null where it states none. */
  readonly totalTokens: number | null
  /** Requests refused with `overload`, and requests that failed otherwise. */
  readonly refused: number
  readonly failed: number
  /** Median time from sending a request to the last byte of its reply. */
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface BenchmarkOptions {
  readonly seconds: number
  readonly clock?: Clock
  readonly signal?: AbortSignal | undefined
}

/** Whether a failure is transient; any other one ends the measurement. */
const mayPass = (failure: Failure): boolean => isOverload(failure) || failure.kind === 'backend'
const PAUSE_MS = 50

/**
 * Keeps `concurrency` requests in flight for `seconds`, after a first round that is not counted.
 * Checks each vector.
 * @throws ReembedError for a failure that is not transient, or when no request was answered
 */
export async function benchmarkEndpoint(
  endpoint: Endpoint,
  texts: readonly string[],
  setting: BenchmarkSetting,
  { seconds, clock = systemClock, signal }: BenchmarkOptions,
): Promise<BenchmarkResult> {
  const { textsPerRequest, concurrency } = setting
  const { dimensions } = endpoint.info
  const replies: { readonly endedMs: number; readonly ms: number; readonly tokens: number | null }[] = []
  let refused = 0
  let failed = 0
  let next = 0
  let lastFailure: Failure | undefined

  const take = (): string[] =>
    Array.from({ length: textsPerRequest }, () => texts[next++ % texts.length] ?? '')

  async function once(vectors: Float32Array): Promise<void> {
    const sentMs = clock.now()
    const outcome = await endpoint.request(take(), vectors, { signal })
    if (outcome.kind === 'ok') {
      if (outcome.badRows.length > 0) {
        throw toError(
          { kind: 'corrupt', message: 'a vector is zero, not finite or not normalised' },
          endpoint.url,
        )
      }
      const endedMs = clock.now()
      replies.push({ endedMs, ms: endedMs - sentMs, tokens: outcome.tokens })
      return
    }
    if (!mayPass(outcome)) throw toError(outcome, endpoint.url)
    if (outcome.kind === 'overload') refused += 1
    else failed += 1
    lastFailure = outcome
    await clock.sleep(PAUSE_MS, signal)
  }

  const lanes = Array.from({ length: concurrency }, () => new Float32Array(textsPerRequest * dimensions))
  await Promise.all(lanes.map(once))
  replies.length = 0
  refused = 0
  failed = 0
  const startedMs = clock.now()
  const until = startedMs + seconds * 1000
  await Promise.all(
    lanes.map(async vectors => {
      do await once(vectors)
      while (clock.now() < until)
    }),
  )
  if (replies.length === 0 && lastFailure !== undefined) throw toError(lastFailure, endpoint.url)
  // Only replies within the time count, unless each lane completed about one: then the time is
  // extended to the last.
  const inTime = replies.filter(({ endedMs }) => endedMs <= until)
  const isEnough = inTime.length > concurrency
  const counted = isEnough ? inTime : replies
  const endMs = isEnough ? until : Math.max(startedMs, ...replies.map(({ endedMs }) => endedMs))
  const times = counted.map(({ ms }) => ms).sort((a, b) => a - b)
  const saysTokens = counted.length > 0 && counted.every(({ tokens }) => tokens !== null)
  return {
    ...setting,
    seconds: (endMs - startedMs) / 1000,
    requests: counted.length,
    texts: counted.length * textsPerRequest,
    totalTokens: saysTokens ? counted.reduce((sum, { tokens }) => sum + (tokens ?? 0), 0) : null,
    refused,
    failed,
    p50Ms: quantile(times, 0.5),
    p99Ms: quantile(times, 0.99),
  }
}

/** Of sorted values: the smallest that is not below the given share of them. */
const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN

/** Common words, one token each in the vocabularies of embedding models. */
const WORDS =
  'time year people way day man thing woman life child world school state family student group country problem hand part place case week company system program question work government number night point home water room mother area money story fact month lot right study book eye job word business issue side kind head house service friend father power hour game line end member law car city community name president team minute idea body information back parent face others level office door health person art war history party result change morning reason research girl guy moment air teacher force education'.split(
    ' ',
  )

const POOL = 1_024

/**
 * Generates 1,024 different texts of `tokens` tokens, special tokens included, counted by the
 * endpoint. Where it counts none, a word is taken for a token. @throws ReembedError when the
 * endpoint does not answer
 */
export async function generateTexts(
  endpoint: Endpoint,
  tokens: number,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<string[]> {
  const counted = async (words: number): Promise<number> => {
    const vector = new Float32Array(endpoint.info.dimensions)
    const outcome = await endpoint.request([textOf(words, 0)], vector, { signal })
    if (outcome.kind !== 'ok') throw toError(outcome, endpoint.url)
    return outcome.tokens ?? words
  }
  const [few, many] = [4, Math.max(8, Math.min(64, tokens))]
  const [atFew, atMany] = [await counted(few), await counted(many)]
  const perWord = Math.max(0.1, (atMany - atFew) / (many - few))
  const special = atFew - few * perWord
  const words = Math.max(1, Math.round((tokens - special) / perWord))
  return Array.from({ length: POOL }, (_, i) => textOf(words, i + 1))
}

function textOf(words: number, seed: number): string {
  let state = seed
  return Array.from({ length: words }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return WORDS[(state >>> 8) % WORDS.length]
  }).join(' ')
}

/**
 * Settings within this share of the best rate are equal; the one with the fewest texts in flight
 * has the least latency.
 */
const AS_GOOD = 0.97

/**
 * The recommended setting: among the fastest ones with at most 1 % failures, the one with the
 * fewest texts in flight. Undefined when no setting has so few failures.
 */
export function bestResult(measured: readonly BenchmarkResult[]): BenchmarkResult | undefined {
  const rate = ({ texts, seconds }: BenchmarkResult): number => texts / seconds
  const calm = measured.filter(
    ({ requests, refused, failed }) => requests > 0 && refused + failed <= requests / 100,
  )
  const fastest = Math.max(...calm.map(rate))
  const inFlight = ({ textsPerRequest, concurrency }: BenchmarkResult): number =>
    textsPerRequest * concurrency
  return calm
    .filter(one => rate(one) >= AS_GOOD * fastest)
    .sort((a, b) => inFlight(a) - inFlight(b) || a.concurrency - b.concurrency)[0]
}
