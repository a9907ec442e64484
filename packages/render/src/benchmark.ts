// What a benchmark of an endpoint measured.

import type { BenchmarkResult } from '@reembed/planner'
import { count } from './numbers.ts'

const HEAD = 'tokens  texts/request  at once  requests/s   texts/s    tokens/s    p50 ms    p99 ms  refused'

/** The heading of the lines of a benchmark. */
export const benchmarkHead = (priced: boolean): string => `${HEAD}${priced ? '  $/1M tokens' : ''}`

/** What one setting of a benchmark reached. */
export interface BenchmarkRates {
  readonly requestsPerSecond: number
  readonly textsPerSecond: number
  readonly tokensPerSecond: number | null
  readonly dollarsPerMillionTokens: number | null
}

/** The rates of one setting; the price is that of all replicas. */
export function benchmarkRates(
  { requests, texts, totalTokens, seconds }: BenchmarkResult,
  pricePerHour?: number,
): BenchmarkRates {
  const tokensPerSecond = totalTokens === null ? null : totalTokens / seconds
  return {
    requestsPerSecond: requests / seconds,
    textsPerSecond: texts / seconds,
    tokensPerSecond,
    dollarsPerMillionTokens:
      pricePerHour === undefined || tokensPerSecond === null
        ? null
        : (pricePerHour / 3600 / tokensPerSecond) * 1e6,
  }
}

/** One setting as a line below `benchmarkHead`. */
export function benchmarkLine(one: BenchmarkResult, pricePerHour: number | undefined): string {
  const rates = benchmarkRates(one, pricePerHour)
  const cells: [string, number][] = [
    [String(one.tokens), 6],
    [String(one.textsPerRequest), 13],
    [String(one.concurrency), 7],
    [rates.requestsPerSecond.toFixed(1), 10],
    [rates.textsPerSecond.toFixed(1), 8],
    [rates.tokensPerSecond === null ? '?' : count(rates.tokensPerSecond), 10],
    [one.p50Ms.toFixed(1), 8],
    [one.p99Ms.toFixed(1), 8],
    [String(one.refused + one.failed), 7],
  ]
  if (pricePerHour !== undefined) {
    cells.push([
      rates.dollarsPerMillionTokens === null ? '?' : rates.dollarsPerMillionTokens.toPrecision(3),
      11,
    ])
  }
  return cells.map(([cell, width]) => cell.padStart(width)).join('  ')
}

/** The best setting for texts of one length, in one sentence. */
export function benchmarkSentence(best: BenchmarkResult | undefined, tokens: number): string {
  if (best === undefined) return `${tokens} tokens: the endpoint refused requests with every setting`
  const { textsPerRequest, concurrency, texts, seconds } = best
  return (
    `best for ${tokens} tokens: ${textsPerRequest} texts per request, ${concurrency} concurrent requests ` +
    `(${count(texts / seconds)} texts/s; within 3 % of the fastest, fewest texts in flight)`
  )
}
