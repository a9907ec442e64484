// Estimated and actual tokens, time and cost of a run. The plan contains the estimate; finalization
// sums the actual cost from the receipts. Neither is part of the run id.

import { amount, count, either, none, record, type Shape } from '@reembed/shared'
import { type Receipt, type UnreadTokens, unreadShape } from './receipt.ts'

/** Price of an endpoint. */
export interface Price {
  /** Dollars per hour of one replica. */
  readonly perHour: number
  readonly replicas: number
}

/** The estimate of a run. */
export interface Quote {
  /** Tokens that the server will count: documents, prompts, special tokens and canaries. */
  readonly tokens: number
  /** The canaries' part of `tokens`. A canary in each request proves which model answers. */
  readonly canaryTokens: number
  /**
   * Half of the 95 % interval of `tokens`, relative to it; null if tokens were estimated without a
   * tokenizer.
   */
  readonly relativeError: number | null
  /** Number of documents, or of chunks. */
  readonly inputs: number
  /** Number of inputs in the sample. */
  readonly sampled: number
  /** Rate of a short measurement at the live endpoint; null without one. */
  readonly tokensPerSecond: number | null
  readonly seconds: number | null
  readonly price: Price | null
  readonly dollars: number | null
  /** Duration of the endpoint's cold start at plan time. */
  readonly coldStartSeconds: number
}

/** How many characters a token has in the texts of a corpus. */
export interface TokenDensity {
  readonly charactersPerToken: number
  /** Standard deviation between texts, relative to the mean. */
  readonly deviation: number
}

/** The texts of a run in the tokens of the model, estimated from the sample. */
export interface TextEstimate extends TokenDensity {
  /** The model's limit; null where the endpoint states none. */
  readonly limit: number | null
  /** Texts: documents, or chunks. */
  readonly inputs: number
  /** Texts over the limit. */
  readonly truncated: number
  /** What the model will not read of them. */
  readonly unread: UnreadTokens
}

/** The actual cost of a run. */
export interface ActualCost {
  /** Tokens that the server counted in replies that are in shards; null if it reports none. */
  readonly tokens: number | null
  /** Time in which at least one worker embedded or waited for the endpoint, plus the cold start. */
  readonly endpointSeconds: number | null
  readonly dollars: number | null
}

export const quoteShape: Shape = record<Quote>({
  tokens: amount,
  canaryTokens: amount,
  relativeError: either(amount, none),
  inputs: amount,
  sampled: amount,
  tokensPerSecond: either(amount, none),
  seconds: either(amount, none),
  price: either(record<Price>({ perHour: amount, replicas: amount }), none),
  dollars: either(amount, none),
  coldStartSeconds: amount,
})

export const textsShape: Shape = record<TextEstimate>({
  limit: either(count, none),
  inputs: count,
  truncated: count,
  unread: unreadShape,
  charactersPerToken: amount,
  deviation: amount,
})

export const actualCostShape: Shape = record<ActualCost>({
  tokens: either(count, none),
  endpointSeconds: either(amount, none),
  dollars: either(amount, none),
})

/**
 * A list price for comparison: developers.openai.com/api/docs/models/text-embedding-3-small,
 * standard tier.
 */
export const LIST_PRICE = {
  name: 'OpenAI text-embedding-3-small',
  dollarsPerMillionTokens: 0.02,
  asOf: '2026-07-03',
} as const

/** Returns the price of endpoint time in dollars. */
export const dollarsOf = (seconds: number, { perHour, replicas }: Price): number =>
  (seconds / 3600) * perHour * replicas

/** Returns dollars per million tokens. */
export const dollarsPerMillion = (dollars: number, tokens: number): number => (1e6 * dollars) / tokens

/** A time interval in Unix milliseconds. */
export type Interval = readonly [startMs: number, endMs: number]

/**
 * Returns the time in which a shard was embedded; undefined if it needed no request or the receipt
 * has no times.
 */
export const intervalOf = ({ startedMs, endedMs }: Receipt): Interval | undefined =>
  startedMs === undefined || endedMs === undefined ? undefined : [startedMs, endedMs]

/** Returns the union of the intervals as disjoint intervals in ascending order. */
export function mergedIntervals(intervals: readonly Interval[]): Interval[] {
  const merged: Interval[] = []
  for (const [start, end] of intervals.toSorted((a, b) => a[0] - b[0])) {
    const last = merged.at(-1)
    if (last && start <= last[1]) merged[merged.length - 1] = [last[0], Math.max(last[1], end)]
    else merged.push([start, end])
  }
  return merged
}

/** Returns the duration of the union in milliseconds: concurrent jobs use the endpoint once. */
export const unionMs = (intervals: readonly Interval[]): number =>
  mergedIntervals(intervals).reduce((total, [start, end]) => total + end - start, 0)
