// Estimates the texts of a run in tokens of the model, and what the model will not read of them.

import type { TextEstimate, TokenDensity } from '@reembed/protocol'
import { CHARS_PER_TOKEN, type CountedSample } from './count-sample.ts'
import { estimateTotal, nonEmptyDocuments } from './estimate.ts'
import type { SampleCluster } from './sample-inputs.ts'

/** Half of the 95 % interval where tokens are estimated from characters. */
const UNCOUNTED_ERROR = 0.5
const UNKNOWN: TokenDensity = { charactersPerToken: CHARS_PER_TOKEN, deviation: 0.3 }

/**
 * @param limit the model's limit; null if the endpoint states none
 * @param cuts whether the model cuts texts at its limit: not those of a run with chunks, and not
 * where longer texts are rejects
 */
export function estimateTexts(
  { sample, tokensOf, counted }: CountedSample,
  { prompt, limit, cuts }: { readonly prompt: string; readonly limit: number | null; readonly cuts: boolean },
): TextEstimate {
  const most = cuts ? (limit ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY
  const total = (of: (tokens: number) => number): { total: number; error: number } =>
    estimateTotal(sample, ({ documents }: SampleCluster) =>
      nonEmptyDocuments(documents).reduce((sum, { text }) => sum + of(tokensOf.get(prompt + text) ?? 0), 0),
    )
  const unread = total(tokens => Math.max(0, tokens - most))
  const error = counted ? unread.error : Math.max(UNCOUNTED_ERROR, unread.error)
  return {
    limit,
    inputs: Math.round(total(() => 1).total),
    truncated: Math.round(total(tokens => (tokens > most ? 1 : 0)).total),
    unread: {
      tokens: Math.round(unread.total),
      low: Math.round(Math.max(0, unread.total * (1 - error))),
      high: Math.round(unread.total * (1 + error)),
      of: Math.round(total(tokens => tokens).total),
    },
    ...(counted ? densityOf(tokensOf) : UNKNOWN),
  }
}

/** Shorter texts have too few tokens to show the density. */
const MIN_TOKENS = 16

function densityOf(tokensOf: ReadonlyMap<string, number>): TokenDensity {
  const texts = [...tokensOf].flatMap(([{ length }, tokens]) =>
    tokens < MIN_TOKENS ? [] : [{ length, tokens }],
  )
  const characters = texts.reduce((sum, { length }) => sum + length, 0)
  if (characters === 0) return UNKNOWN
  const mean = characters / texts.reduce((sum, { tokens }) => sum + tokens, 0)
  // Weighted by length: the long texts decide what is not read.
  const variance = texts.reduce(
    (sum, { length, tokens }) => sum + (length / characters) * (length / tokens / mean - 1) ** 2,
    0,
  )
  return { charactersPerToken: mean, deviation: Math.sqrt(variance) }
}
