// The capabilities that an endpoint states, and the assumptions where it states none.

import { ReembedError } from '@reembed/shared'
import type { Failure } from './outcome.ts'

export interface EndpointInfo {
  readonly kind: 'tei' | 'openai'
  /** The model's name as the endpoint states it. */
  readonly modelId: string
  /** Exact revision where the endpoint states one. */
  readonly revision: string | null
  readonly pooling: string | null
  /** Both are derived from vectors: no server states them. */
  readonly dimensions: number
  readonly normalized: boolean
  /** Maximum inputs of one request. */
  readonly maxClientBatchSize: number
  /** Maximum inputs in flight: TEI takes one permit per input, not per request. */
  readonly maxConcurrentRequests: number
  /** Maximum tokens of one input; null where the endpoint states none. */
  readonly maxInputLength: number | null
  /** Tokens of one batch in the model; null where the endpoint states none. */
  readonly maxBatchTokens: number | null
  /**
   * Inputs of one batch in the model; null where only tokens limit it, or the endpoint states none.
   */
  readonly maxBatchRequests: number | null
  /** Tokens of one request; null where only the limits above count. */
  readonly maxRequestTokens: number | null
  /** Whether the server truncates long inputs where the request does not specify it. */
  readonly autoTruncate: boolean
  readonly version: string | null
  /** Maximum bytes of one request body. */
  readonly payloadLimit: number
}

export interface EndpointLimits {
  /** Most inputs of a request. */
  readonly inputs?: number | undefined
  /** Most tokens of a request, and of a text. */
  readonly requestTokens?: number | undefined
  readonly textTokens?: number | undefined
}

/** The fields that `/info` can state. */
export type StatedInfo = Omit<EndpointInfo, 'dimensions' | 'normalized'>

/** TEI's `--payload-limit`, which `/info` does not state. */
const PAYLOAD_LIMIT_BYTES = 2_000_000

/** Parses the body of TEI's `GET /info`; returns the reason as a string when it is not one. */
export function parseInfo(body: string): StatedInfo | string {
  let json: unknown
  try {
    json = JSON.parse(body)
  } catch {
    return 'the reply of GET /info is not JSON'
  }
  const info = record(json)
  const modelId = text(info.model_id)
  if (modelId === null) return 'GET /info states no model_id'
  const [type] = Object.keys(record(info.model_type))
  if (type !== 'embedding')
    return `its model ${modelId} is not an embedding model but ${type ?? 'of unknown type'}`
  const pooling = text(record(record(info.model_type).embedding).pooling)
  if (pooling === 'splade') return `its model ${modelId} makes sparse vectors (splade)`
  return {
    kind: 'tei',
    modelId,
    // TEI derives no revision: model_sha repeats TEI's revision option, and on HF it is null. An
    // operator states one by a served name of the form <model>@<revision>, which the server repeats
    // in each reply.
    revision: text(info.model_sha) ?? revisionIn(text(info.served_model_name)),
    pooling,
    maxClientBatchSize: count(info.max_client_batch_size) ?? 32,
    maxConcurrentRequests: count(info.max_concurrent_requests) ?? 512,
    maxInputLength: count(info.max_input_length),
    maxBatchTokens: count(info.max_batch_tokens),
    maxBatchRequests: count(info.max_batch_requests),
    maxRequestTokens: null,
    // Older versions have no automatic truncation and do not state the field.
    autoTruncate: info.auto_truncate === true,
    version: text(info.version),
    payloadLimit: PAYLOAD_LIMIT_BYTES,
  }
}

/** What vLLM's list of models states as `owned_by`. */
export const VLLM = 'vllm'

/** An entry of OpenAI's list of models. */
export interface ServedModel {
  readonly id: string
  /** Most tokens of a text, which vLLM states. */
  readonly maxInputLength: number | null
  readonly isVllm: boolean
}

/** Parses the body of `GET /v1/models`; empty when it is not such a list. */
export function parseModels(body: string): ServedModel[] {
  let json: unknown
  try {
    json = JSON.parse(body)
  } catch {
    return []
  }
  const { data } = record(json)
  if (!Array.isArray(data)) return []
  return data.flatMap((entry: unknown) => {
    const { id, max_model_len, owned_by } = record(entry)
    const name = text(id)
    return name === null
      ? []
      : [{ id: name, maxInputLength: count(max_model_len), isVllm: owned_by === VLLM }]
  })
}

/** Assumptions for a server that has only OpenAI's routes. */
export function openaiInfo(model: string, models: readonly ServedModel[] = []): StatedInfo {
  const served = models.find(({ id }) => id === model) ?? (models.length === 1 ? models[0] : undefined)
  return {
    kind: 'openai',
    modelId: model,
    revision: null,
    pooling: null,
    maxClientBatchSize: 32,
    maxConcurrentRequests: 512,
    maxInputLength: served?.maxInputLength ?? null,
    maxBatchTokens: null,
    maxBatchRequests: null,
    maxRequestTokens: null,
    autoTruncate: false,
    version: served?.isVllm ? VLLM : null,
    payloadLimit: PAYLOAD_LIMIT_BYTES,
  }
}

/** The error for a server that is not TEI, where no model name is given for OpenAI's routes. */
export function notAnEndpoint(
  url: string,
  reason: Failure | string,
  models: readonly ServedModel[],
): ReembedError {
  const why = typeof reason === 'string' ? reason : `GET /info: ${reason.message}`
  const names = models.slice(0, NAMED_MODELS).map(({ id }) => id)
  const others = models.length > NAMED_MODELS ? ', …' : ''
  const listed = names.length > 0 ? ` (it lists ${names.join(', ')}${others})` : ''
  return new ReembedError(
    'ENDPOINT_UNSUPPORTED',
    `${url} is not a TEI endpoint: ${why}. For an OpenAI-compatible server, give the name of its model${listed}`,
  )
}

const NAMED_MODELS = 5

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)
const count = (value: unknown): number | null =>
  typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : null
const revisionIn = (name: string | null): string | null => /@([^@]+)$/.exec(name ?? '')?.[1] ?? null
