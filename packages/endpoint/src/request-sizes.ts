// The size of requests that an endpoint accepts beyond what it states: OpenAI-compatible servers
// limit the tokens of a request without stating it. The limit is learned from refusals of requests
// whose parts were answered: then the size was at fault, not a text.
//
// What was learned is raised again after many accepted requests, because one odd refusal, or a
// server that was restarted with other limits, must not slow a worker for the rest of its life. A
// raise that is refused doubles the wait for the next one, so a real limit costs few refusals.

import type { Endpoint } from './client/endpoint.ts'
import { isRefusal } from './client/failure-kinds.ts'
import type { EndpointInfo } from './client/info.ts'
import { toError } from './client/outcome.ts'
import { type RequestLimits, requestLimits } from './pack.ts'

export interface RequestSizes {
  /** The limits that the endpoint states, lowered by what was learned. */
  limits(info: EndpointInfo): RequestLimits
  /** Records an answered request and its tokens, by the estimate that it was packed with. */
  acceptedTokens(tokens: number): void
  /** Records the tokens of a request that was refused as a whole and answered in parts. */
  refusedTokens(tokens: number): void
  /** Records a refusal that states the most inputs of a request. */
  refusedInputs(most: number): void
  /** Records a refusal of the bytes of a request. */
  refusedBytes(bytes: number): void
}

/**
 * Lower bound of the reduced limit: a smaller body that is refused as too large shows a
 * misconfigured server.
 */
const MIN_BYTES = 64 * 1024
/** The search ends when the refused size is at most this multiple of the accepted one. */
const CLOSE = 1.25
/** Accepted requests before the learned limits are raised, by this factor. */
const PATIENCE = { first: 256, most: 16_384 }
const RAISE = 1.25

/** About 200 tokens, of a text that every embedding model accepts. */
const PROBE_TEXT = 'A request as large as one of documents shows how many tokens a server accepts. '.repeat(
  13,
)
const CHARACTERS_PER_TOKEN = 5

/**
 * Sends a request as large as one of documents, and halves of it until the endpoint accepts one.
 * Resolves with the tokens of the request that was accepted, and of the smallest that was refused.
 * @throws ReembedError by the kind of failure
 */
export async function probeRequestTokens(
  endpoint: Endpoint,
): Promise<{ readonly accepted: number; readonly refused: number | null }> {
  const { maxInputLength, dimensions } = endpoint.info
  const text = PROBE_TEXT.slice(0, (maxInputLength ?? PROBE_TEXT.length) * CHARACTERS_PER_TOKEN * 0.5)
  let refused: number | null = null
  for (let inputs = requestLimits(endpoint.info).inputs; ; inputs = Math.floor(inputs / 2)) {
    const texts = Array.from({ length: inputs }, () => text)
    const tokens = Math.round((inputs * text.length) / CHARACTERS_PER_TOKEN)
    const outcome = await endpoint.request(texts, new Float32Array(inputs * dimensions))
    if (outcome.kind === 'ok') return { accepted: outcome.tokens ?? tokens, refused }
    if (inputs === 1 || !isRefusal(outcome)) throw toError(outcome, endpoint.url)
    refused = tokens
  }
}

/** Sizes of one endpoint, shared by all jobs that send to it. */
export function createRequestSizes(): RequestSizes {
  let inputs = Number.POSITIVE_INFINITY
  let bytes = Number.POSITIVE_INFINITY
  let accepted = 0
  let refused = Number.POSITIVE_INFINITY
  let patience = PATIENCE.first
  let acceptedRequests = 0
  let isRaised = false

  function wasAccepted(): void {
    acceptedRequests += 1
    if (acceptedRequests < patience) return
    acceptedRequests = 0
    isRaised = true
    inputs = Math.ceil(inputs * RAISE)
    bytes *= RAISE
    refused *= RAISE
  }

  function wasRefused(): void {
    if (isRaised) patience = Math.min(PATIENCE.most, patience * 2)
    isRaised = false
    acceptedRequests = 0
  }

  /** Between what was accepted and what was refused, so that the limit is approached from both. */
  function tokens(): number {
    if (refused === Number.POSITIVE_INFINITY) return refused
    return refused <= accepted * CLOSE ? accepted : Math.max(1, Math.floor((accepted + refused) / 2))
  }

  return {
    limits(info) {
      const stated = requestLimits(info)
      return {
        inputs: Math.min(stated.inputs, inputs),
        tokens: Math.min(stated.tokens, tokens()),
        bytes: Math.min(stated.bytes, bytes),
      }
    },
    acceptedTokens(tokens) {
      if (tokens < refused) accepted = Math.max(accepted, tokens)
      wasAccepted()
    },
    refusedTokens(tokens) {
      // A request of this size was answered before: the refusal had another cause.
      if (tokens <= accepted) return
      refused = Math.min(refused, tokens)
      wasRefused()
    },
    refusedInputs(most) {
      inputs = Math.max(1, Math.min(inputs, most))
      wasRefused()
    },
    refusedBytes(size) {
      bytes = Math.max(MIN_BYTES, Math.min(bytes, size / 2))
      wasRefused()
    },
  }
}
