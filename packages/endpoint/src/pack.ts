// Groups texts into requests by length, because a server without flash attention pads each batch to
// its longest text: unsorted texts cost 2.4 times their tokens; sorted within 1,024 texts, 1.01
// times.

import type { EndpointInfo } from './client/info.ts'

export interface RequestLimits {
  readonly inputs: number
  /** Estimated tokens; Infinity where the server states no limit. */
  readonly tokens: number
  readonly bytes: number
}

/** More inputs per request bring no gain: the server queues and batches each input individually. */
const USEFUL_INPUTS = 32
/**
 * Share of the payload limit for text: JSON escapes make quotes, newlines and control characters
 * longer.
 */
const ESCAPE_ROOM = 0.8

/** The limits of one request, chosen so that the server can process several at once. */
export function requestLimits(info: EndpointInfo): RequestLimits {
  const { maxClientBatchSize, maxConcurrentRequests, maxBatchTokens, maxRequestTokens, payloadLimit } = info
  return {
    inputs: Math.max(1, Math.min(maxClientBatchSize, Math.floor(maxConcurrentRequests / 4), USEFUL_INPUTS)),
    tokens: Math.min(
      maxBatchTokens === null ? Number.POSITIVE_INFINITY : maxBatchTokens / 2,
      maxRequestTokens ?? Number.POSITIVE_INFINITY,
    ),
    bytes: payloadLimit * ESCAPE_ROOM,
  }
}

export interface Packable {
  readonly tokens: number
  readonly bytes: number
}

/**
 * Groups the indexes of `texts` into requests, longest text first, so that the last requests of a
 * window are short. Each index occurs once; a text that exceeds a limit alone gets its own request.
 */
export function pack(texts: readonly Packable[], limits: RequestLimits): number[][] {
  const order = texts
    .map((_, i) => i)
    .sort((a, b) => (texts[b]?.tokens ?? 0) - (texts[a]?.tokens ?? 0) || a - b)
  const requests: number[][] = []
  let request: number[] = []
  let tokens = 0
  let bytes = 0
  for (const i of order) {
    const text = texts[i] ?? { tokens: 0, bytes: 0 }
    const full =
      request.length === limits.inputs ||
      tokens + text.tokens > limits.tokens ||
      bytes + text.bytes + QUOTES_AND_COMMA > limits.bytes
    if (full && request.length > 0) {
      requests.push(request)
      request = []
      tokens = 0
      bytes = 0
    }
    request.push(i)
    tokens += text.tokens
    bytes += text.bytes + QUOTES_AND_COMMA
  }
  if (request.length > 0) requests.push(request)
  return requests
}

const QUOTES_AND_COMMA = 3

/** Estimates tokens from characters by a ratio learned from the server's counts. */
export interface TokenEstimator {
  estimate(characters: number): number
  /**
   * Learns from a reply: its inputs, their characters in total, and the server's token count.
   */
  learn(inputs: number, characters: number, tokens: number): void
}

/** Estimates the tokens of texts from their characters, and learns from the counts in replies. */
export function createTokenEstimator(maxInputLength: number | null): TokenEstimator {
  const most = maxInputLength ?? Number.POSITIVE_INFINITY
  // A low start value makes the first requests too small rather than too large.
  let charactersPerToken = 3
  return {
    estimate: characters => Math.min(most, Math.ceil(characters / charactersPerToken) + 2),
    learn(inputs, characters, tokens) {
      // Truncated texts have characters without tokens.
      if (tokens > 0.9 * inputs * most) return
      charactersPerToken += 0.1 * (characters / tokens - charactersPerToken)
    },
  }
}
