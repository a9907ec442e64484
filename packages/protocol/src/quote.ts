// What a run was quoted to take, and what it took. The quote is made when the run is planned and stands in its plan;
// what was paid is added up from the receipts when it is finalized. Neither is part of the run's id.

import type { Receipt } from './receipt.ts'

/** What an endpoint costs. */
export interface Price {
  /** Dollars an hour of one replica. */
  readonly perHour: number
  readonly replicas: number
}

export interface Quote {
  /** All that the server will count: documents, prompts, framing tokens and canaries. */
  readonly tokens: number
  /** Of these: canaries, which prove with each request which model answers. */
  readonly canaryTokens: number
  /** Half the 95 % interval of `tokens`, as a share of it; null where tokens were not counted but estimated. */
  readonly relativeError: number | null
  /** Documents, or chunks of them. */
  readonly inputs: number
  /** Of these were looked at. */
  readonly sampled: number
  /** Of a short probe of the live endpoint, if it was probed. */
  readonly tokensPerSecond: number | null
  readonly seconds: number | null
  readonly price: Price | null
  readonly dollars: number | null
  /** What it took to wake the endpoint before the run was planned. */
  readonly coldStartSeconds: number
}

export interface ActualCost {
  /** Counted by the server in the replies that shards were made of; null where it does not say. */
  readonly tokens: number | null
  /** While any worker embedded, or waited for the endpoint to; with the cold start before. */
  readonly endpointSeconds: number | null
  readonly dollars: number | null
}

/** A list price to compare with: developers.openai.com/api/docs/models/text-embedding-3-small, its standard tier. */
export const LIST_PRICE = {
  name: 'OpenAI text-embedding-3-small',
  dollarsPerMillionTokens: 0.02,
  asOf: '2026-07-03',
} as const

/** Seconds of endpoint time in dollars. */
export const dollarsOf = (seconds: number, { perHour, replicas }: Price): number =>
  (seconds / 3600) * perHour * replicas

export const dollarsPerMillion = (dollars: number, tokens: number): number => (1e6 * dollars) / tokens

export type Interval = readonly [startMs: number, endMs: number]

/** When the shard of a receipt was embedded; nothing if no request was made for it, or it does not say. */
export const intervalOf = ({ startedMs, endedMs }: Receipt): Interval | undefined =>
  startedMs === undefined || endedMs === undefined ? undefined : [startedMs, endedMs]

/** The stretches of time in which at least one of the intervals lasts, in their order. */
export function mergedIntervals(intervals: readonly Interval[]): Interval[] {
  const merged: Interval[] = []
  for (const [start, end] of intervals.toSorted((a, b) => a[0] - b[0])) {
    const last = merged.at(-1)
    if (last && start <= last[1]) merged[merged.length - 1] = [last[0], Math.max(last[1], end)]
    else merged.push([start, end])
  }
  return merged
}

/** How long at least one of the intervals lasted: jobs that ran side by side held the endpoint once. */
export const unionMs = (intervals: readonly Interval[]): number =>
  mergedIntervals(intervals).reduce((total, [start, end]) => total + end - start, 0)
