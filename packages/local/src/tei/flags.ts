// The flags of text-embeddings-router, with its defaults (router/src/main.rs), in camelCase.

import { ReembedError } from '@reembed/shared'
import type { EngineModel } from './engine.ts'

/**
 * Since 1.9.0, invalid requests are answered with 422 instead of 413, a batch without enough
 * permits is refused instead of queued, `auto_truncate` is on by default, and the served model name
 * exists. HF Inference Endpoints ran 1.8.3 in October 2026.
 */
export type TeiVersion = '1.8.3' | '1.9.3'

export interface TeiFlags {
  /** The TEI version to imitate. Default 1.9.3. */
  readonly version?: TeiVersion | undefined
  /**
   * Maximum number of inputs (not requests) in progress; further ones are answered 429. Default
   * 512.
   */
  readonly maxConcurrentRequests?: number | undefined
  /** Maximum number of tokens per batch. Default 16384. */
  readonly maxBatchTokens?: number | undefined
  /** Maximum number of texts per batch, if the engine has no limit of its own. */
  readonly maxBatchRequests?: number | undefined
  /** Maximum number of inputs per request. Default 32. */
  readonly maxClientBatchSize?: number | undefined
  /** Maximum bytes of a request body. Default 2,000,000. */
  readonly payloadLimit?: number | undefined
  /** Default of `truncate` in requests. Default true, in 1.8.3 false. */
  readonly autoTruncate?: boolean | undefined
  /** `model` in replies of /v1/embeddings. Default, and always in 1.8.3: the id of the model. */
  readonly servedModelName?: string | undefined
  readonly defaultPromptName?: string | undefined
  readonly defaultPrompt?: string | undefined
  /**
   * Whether replies state the tokens of each input before truncation in the header `x-text-tokens`.
   * TEI states only what the model read. Default false.
   */
  readonly textTokens?: boolean | undefined
  /** Required as `Authorization: Bearer <key>`, except on the health and metrics routes. */
  readonly apiKey?: string | undefined
  /** Address to listen on. Default 127.0.0.1, which other machines cannot reach. */
  readonly hostname?: string | undefined
  /** Default: any free port. */
  readonly port?: number | undefined
}

/** Flags with defaults applied and limited by the model. */
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
  readonly textTokens: boolean
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
    textTokens = false,
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
      `the model accepts ${model.maxInputLength} tokens, more than maxBatchTokens ${maxBatchTokens}: raise maxBatchTokens, or set autoTruncate`,
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
    textTokens,
    apiKey,
  }
}

function promptOf(model: EngineModel, name: string | undefined): string | undefined {
  if (name === undefined) return undefined
  if (Object.hasOwn(model.prompts, name)) return model.prompts[name]
  throw new ReembedError(
    'USAGE',
    `model ${model.id} has no prompt named '${name}': use one of ${Object.keys(model.prompts).join(', ') || '(none)'}`,
  )
}
