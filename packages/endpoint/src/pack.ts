// Which texts share a request. Texts of like length go together, because a server without flash
// attention pads each batch to its longest text: unsorted, that computes 2.4 times the tokens;
// sorted within 1024 texts, 1.01 times.

import type { EndpointInfo } from './client/info.ts'

export interface RequestLimits {
  readonly inputs: number
  /** Estimated; Infinity where the server states no limit. */
  readonly tokens: number
  readonly bytes: number
}

/** More inputs in one request win nothing: the server queues and computes each input on its own. */
const USEFUL_INPUTS = 32
/** The body is JSON: quotes, newlines and control characters get longer than their UTF-8. */
const ESCAPE_ROOM = 0.8

/** What one request may hold, so that several fit into what the server takes at once. */
export function requestLimits(info: EndpointInfo): RequestLimits {
  const { maxClientBatchSize, maxConcurrentRequests, maxBatchTokens, payloadLimit } = info
  return {
    inputs: Math.max(1, Math.min(maxClientBatchSize, Math.floor(maxConcurrentRequests / 4), USEFUL_INPUTS)),
    tokens: maxBatchTokens === null ? Number.POSITIVE_INFINITY : maxBatchTokens / 2,
    bytes: payloadLimit * ESCAPE_ROOM,
  }
}

export interface Packable {
  readonly tokens: number
  readonly bytes: number
}

/**
 * Indexes of `texts` grouped into requests, longest first, so that the last requests of a window
 * are short ones. Each index once; a text that is over a limit alone gets a request of its own.
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

/** Estimates tokens from characters, and learns the ratio from what the server counts. */
export interface TokenEstimator {
  estimate(characters: number): number
  /**
   * A reply's inputs, their characters together, and the tokens that the server counted for them.
   */
  learn(inputs: number, characters: number, tokens: number): void
}

export function createTokenEstimator(maxInputLength: number | null): TokenEstimator {
  const most = maxInputLength ?? Number.POSITIVE_INFINITY
  // Low, so that the first requests are too small rather than too large.
  let charactersPerToken = 3
  return {
    estimate: characters => Math.min(most, Math.ceil(characters / charactersPerToken) + 2),
    learn(inputs, characters, tokens) {
      // Texts that the server cut have characters without tokens.
      if (tokens > 0.9 * inputs * most) return
      charactersPerToken += 0.1 * (characters / tokens - charactersPerToken)
    },
  }
}
