// What an endpoint says about itself, and what has to be assumed where it says nothing.

import { ReembedError } from '@reembed/shared'
import type { Failure } from './outcome.ts'

export interface EndpointInfo {
  readonly kind: 'tei' | 'openai'
  /** The model's name as the endpoint states it. */
  readonly modelId: string
  /** Exact revision where the endpoint states one. */
  readonly revision: string | null
  readonly pooling: string | null
  /** Both learned from the vectors themselves: no server states them. */
  readonly dimensions: number
  readonly normalized: boolean
  /** Most inputs in one request. */
  readonly maxClientBatchSize: number
  /** Most inputs in flight: TEI takes one permit per input, not per request. */
  readonly maxConcurrentRequests: number
  /** Tokens of one input; null where the endpoint does not say. */
  readonly maxInputLength: number | null
  /** Tokens that the server computes at once; null where the endpoint does not say. */
  readonly maxBatchTokens: number | null
  /** Inputs that the server computes at once; null where only tokens limit it, or the endpoint does not say. */
  readonly maxBatchRequests: number | null
  /** Whether the server cuts over-long inputs when the request does not say. */
  readonly autoTruncate: boolean
  readonly version: string | null
  /** Bytes of one request body. */
  readonly payloadLimit: number
}

/** `/info` without what only a vector can tell. */
export type StatedInfo = Omit<EndpointInfo, 'dimensions' | 'normalized'>

/** TEI's `--payload-limit`, which `/info` does not state. */
const PAYLOAD_LIMIT_BYTES = 2_000_000

/** Reads the body of TEI's `GET /info`; a sentence why not, if it is none. */
export function parseInfo(body: string): StatedInfo | string {
  let json: unknown
  try {
    json = JSON.parse(body)
  } catch {
    return 'GET /info is not answered with JSON'
  }
  const info = record(json)
  const modelId = text(info.model_id)
  if (modelId === null) return 'GET /info states no model_id'
  const [type] = Object.keys(record(info.model_type))
  if (type !== 'embedding')
    return `its model ${modelId} is no embedding model but ${type ?? 'of unknown type'}`
  const pooling = text(record(record(info.model_type).embedding).pooling)
  if (pooling === 'splade') return `its model ${modelId} makes sparse vectors (splade)`
  return {
    kind: 'tei',
    modelId,
    // TEI knows no revision of its own: model_sha repeats --revision, and on HF it is null. A served name of the
    // form <model>@<revision> is how an operator states it, and the server repeats that name in every reply.
    revision: text(info.model_sha) ?? revisionIn(text(info.served_model_name)),
    pooling,
    maxClientBatchSize: count(info.max_client_batch_size) ?? 32,
    maxConcurrentRequests: count(info.max_concurrent_requests) ?? 512,
    maxInputLength: count(info.max_input_length),
    maxBatchTokens: count(info.max_batch_tokens),
    maxBatchRequests: count(info.max_batch_requests),
    // Not stated before it existed, and false then.
    autoTruncate: info.auto_truncate === true,
    version: text(info.version),
    payloadLimit: PAYLOAD_LIMIT_BYTES,
  }
}

/** What to assume of a server that has only OpenAI's routes. */
export function openaiInfo(model: string): StatedInfo {
  return {
    kind: 'openai',
    modelId: model,
    revision: null,
    pooling: null,
    maxClientBatchSize: 32,
    maxConcurrentRequests: 512,
    maxInputLength: null,
    maxBatchTokens: null,
    maxBatchRequests: null,
    autoTruncate: false,
    version: null,
    payloadLimit: PAYLOAD_LIMIT_BYTES,
  }
}

/** The error for a server that is no TEI when no model name was given for OpenAI's routes. */
export function notAnEndpoint(url: string, reason: Failure | string): ReembedError {
  const why = typeof reason === 'string' ? reason : `GET /info: ${reason.message}`
  return new ReembedError(
    'ENDPOINT_UNSUPPORTED',
    `${url} is not a TEI endpoint: ${why}. For an OpenAI-compatible server, give the name of its model as well`,
  )
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)
const count = (value: unknown): number | null =>
  typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : null
const revisionIn = (name: string | null): string | null => /@([^@]+)$/.exec(name ?? '')?.[1] ?? null
