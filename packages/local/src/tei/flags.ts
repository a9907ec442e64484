// The flags of text-embeddings-router, with its defaults (router/src/main.rs), in camelCase.

import { ReembedError } from '@reembed/shared'
import type { EngineModel } from './engine.ts'

/**
 * What differs: since 1.9.0 what is not valid is a 422 and no 413, a batch that lacks permits is refused instead of
 * waiting, `auto_truncate` is on by default, and the served model name exists. HF-managed endpoints were on 1.8.3 in
 * October 2026.
 */
export type TeiVersion = '1.8.3' | '1.9.3'

export interface TeiFlags {
  /** Which TEI to be. Default 1.9.3. */
  readonly version?: TeiVersion | undefined
  /** Inputs (not requests) between arrival and reply; one more is answered 429. Default 512. */
  readonly maxConcurrentRequests?: number | undefined
  /** Tokens of one batch. Default 16384. */
  readonly maxBatchTokens?: number | undefined
  /** Texts of one batch, where the engine has no limit of its own. */
  readonly maxBatchRequests?: number | undefined
  /** Inputs of one request. Default 32. */
  readonly maxClientBatchSize?: number | undefined
  /** Bytes of a request body. Default 2,000,000. */
  readonly payloadLimit?: number | undefined
  /** What `truncate` is where a request does not say. Default true, in 1.8.3 false. */
  readonly autoTruncate?: boolean | undefined
  /** The `model` of every /v1/embeddings reply. Default, and always in 1.8.3: the model's id. */
  readonly servedModelName?: string | undefined
  readonly defaultPromptName?: string | undefined
  readonly defaultPrompt?: string | undefined
  /** Asked for as `Authorization: Bearer <key>`, except on the health and metrics routes. */
  readonly apiKey?: string | undefined
  /** Default 127.0.0.1: a stand-in for one machine is not offered to others. */
  readonly hostname?: string | undefined
  /** Default: any free port. */
  readonly port?: number | undefined
}

/** Flags with defaults in place and fitted to the model. */
export interface Settings {
  readonly version: TeiVersion
  readonly maxConcurrentRequests: number
  readonly maxBatchTokens: number
  readonly maxBatchRequests: number | null
  readonly maxClientBatchSize: number
  readonly maxInputLength: number
  readonly payloadLimit: number
  readonly autoTruncate: boolean
  readonly servedModelName: string
  readonly defaultPrompt: string
  readonly apiKey: string | undefined
}

/** Checks the flags against each other and the model, as TEI does at start. */
export function settingsOf(
  flags: TeiFlags,
  model: EngineModel,
  engineMaxBatchRequests: number | null,
): Settings {
  const {
    version = '1.9.3',
    maxConcurrentRequests = 512,
    maxBatchTokens = 16_384,
    maxBatchRequests = null,
    maxClientBatchSize = 32,
    payloadLimit = 2_000_000,
    autoTruncate = version !== '1.8.3',
    servedModelName = model.id,
    defaultPromptName,
    defaultPrompt,
    apiKey,
  } = flags
  for (const [flag, value] of Object.entries({
    maxConcurrentRequests,
    maxBatchTokens,
    maxBatchRequests: maxBatchRequests ?? 1,
    maxClientBatchSize,
    payloadLimit,
  })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new ReembedError('USAGE', `${flag} must be a positive integer, got ${value}`)
    }
  }
  if (model.maxInputLength > maxBatchTokens && !autoTruncate) {
    throw new ReembedError(
      'USAGE',
      `the model takes ${model.maxInputLength} tokens, which exceeds maxBatchTokens ${maxBatchTokens}: raise it, or set autoTruncate`,
    )
  }
  return {
    version,
    maxConcurrentRequests,
    maxBatchTokens,
    maxBatchRequests: engineMaxBatchRequests ?? maxBatchRequests,
    maxClientBatchSize,
    maxInputLength: Math.min(model.maxInputLength, maxBatchTokens),
    payloadLimit,
    autoTruncate,
    servedModelName: version === '1.8.3' ? model.id : servedModelName,
    defaultPrompt: promptOf(model, defaultPromptName) ?? defaultPrompt ?? '',
    apiKey,
  }
}

function promptOf(model: EngineModel, name: string | undefined): string | undefined {
  if (name === undefined) return undefined
  if (Object.hasOwn(model.prompts, name)) return model.prompts[name]
  throw new ReembedError('USAGE', `${model.id} has no prompt named ${name}`)
}
