// Computes the vectors of one request: permits, prompt, limits, tokenization, queue, normalisation
// (core/src/infer.rs and core/src/tokenization.rs of TEI).

import type { Clock } from '@reembed/shared'
import { createBatcher } from './batcher.ts'
import type { Encoding, Engine, Token } from './engine.ts'
import { emptyInput, invalidInput, TeiError } from './errors.ts'
import type { Settings } from './flags.ts'
import type { Metrics } from './metrics.ts'
import { normalize } from './normalize.ts'
import { createPermits } from './permits.ts'
import type { EmbedRequest, Input, TokenizeRequest } from './requests.ts'

/**
 * The vectors of a request and the values of its x- headers; times are means over the inputs, in
 * ms.
 */
export interface EmbedResult {
  readonly vectors: readonly Float32Array[]
  readonly characters: number
  readonly tokens: number
  /** Tokens of each input before truncation. */
  readonly wholeTokens: readonly number[]
  readonly tokenizationMs: number
  readonly queueMs: number
  readonly inferenceMs: number
}

export interface InferenceService {
  embed(request: EmbedRequest, signal: AbortSignal): Promise<EmbedResult>
  tokenize(request: TokenizeRequest): readonly (readonly Token[])[]
  decode(ids: readonly (readonly number[])[], skipSpecialTokens: boolean): readonly string[]
}

/** Texts with more characters per token of the model's limit are not tokenized as a whole. */
const MAX_CHAR_MULTIPLIER = 250

export function createInferenceService(
  engine: Engine,
  settings: Settings,
  metrics: Metrics,
  clock: Clock,
): InferenceService {
  const { maxBatchTokens, maxBatchRequests, maxInputLength, maxClientBatchSize } = settings
  const batcher = createBatcher({ engine, maxBatchTokens, maxBatchRequests, metrics, clock })
  const permits = createPermits(settings.maxConcurrentRequests)

  /** Computes every input, even after a failure; the reply is the first failure in input order. */
  async function embedAll(request: EmbedRequest, signal: AbortSignal) {
    const { inputs, batch } = request
    if (settings.version === '1.8.3' && batch) {
      return Promise.allSettled(
        inputs.map(async input => {
          using _permit = await permits.acquire(signal)
          return await embedOne(input, request, signal)
        }),
      )
    }
    using held = permits.tryAcquire(inputs.length, signal)
    if (held === undefined) throw new TeiError('Overloaded', 'Model is overloaded', 'overloaded')
    return await Promise.allSettled(inputs.map(input => embedOne(input, request, signal)))
  }

  function checkBatchSize(size: number): void {
    if (size > maxClientBatchSize) {
      const message = `batch size ${size} > maximum allowed batch size ${maxClientBatchSize}`
      throw new TeiError('Validation', message, 'batch_size')
    }
  }

  async function embedOne(input: Input, request: EmbedRequest, signal: AbortSignal) {
    const startedAt = clock.now()
    if (request.dimensions === 0) {
      throw new TeiError(
        'Validation',
        'Input validation error: `dimensions` should be positive',
        'validation',
      )
    }
    metrics.count('te_embed_count')
    const encoding = encode(input, request)
    const tokenizationMs = clock.now() - startedAt
    const { vector, queueMs, inferenceMs } = await batcher.embed(encoding, signal)
    if (request.dimensions !== undefined && request.dimensions > vector.length) {
      const message = '`dimensions` should be smaller than the maximum embedding dimension.'
      throw new TeiError('Validation', `Input validation error: ${message}`, 'validation')
    }
    // Truncates before normalising (Matryoshka), so that a shorter vector has length 1 too.
    const result = vector.slice(0, request.dimensions)
    if (request.normalize) normalize(result)
    metrics.count('te_embed_success')
    metrics.observe('te_embed_duration', (clock.now() - startedAt) / 1000)
    metrics.observe('te_embed_tokenization_duration', tokenizationMs / 1000)
    metrics.observe('te_embed_queue_duration', queueMs / 1000)
    metrics.observe('te_embed_inference_duration', inferenceMs / 1000)
    const { length: tokens, wholeLength: wholeTokens } = encoding
    return { vector: result, tokens, wholeTokens, tokenizationMs, queueMs, inferenceMs }
  }

  function encode(input: Input, request: EmbedRequest): Encoding {
    if (input.length === 0) throw emptyInput()
    const truncate = request.truncate ?? settings.autoTruncate
    const prompt = promptOf(request.promptName)
    const limit = maxInputLength * MAX_CHAR_MULTIPLIER
    const given = countCharacters(input)
    if (given > limit && !truncate) {
      throw invalidInput(`\`inputs\` must have less than ${limit} characters. Given: ${given}`)
    }
    const encoding = tokenizing(() => {
      const text = typeof input === 'string' ? input : engine.decode(input, prompt !== '')
      return engine.encode(prompt + (given > limit ? cut(text, limit) : text), {
        // Text decoded from token ids contains its special tokens, so none are added.
        specialTokens: typeof input === 'string' || prompt !== '',
        truncate: truncate ? { tokens: maxInputLength, side: request.truncationDirection } : undefined,
      })
    })
    if (encoding.length > maxInputLength) {
      throw invalidInput(`\`inputs\` must have less than ${maxInputLength} tokens. Given: ${encoding.length}`)
    }
    metrics.observe('te_request_input_length', encoding.length)
    return encoding
  }

  function promptOf(name: string | undefined): string {
    if (name === undefined) return settings.defaultPrompt
    const { prompts } = engine.model
    const prompt = Object.hasOwn(prompts, name) ? prompts[name] : undefined
    if (prompt !== undefined) return prompt
    const names = Object.keys(prompts)
    throw invalidInput(
      names.length === 0
        ? `\`default-prompt-name\` is set to \`${name}\` but no prompts were found in the Sentence Transformers configuration`
        : `\`default-prompt-name\` is set to \`${name}\` but it was not found in the Sentence Transformers prompts. Available prompts: ${JSON.stringify(names)}`,
    )
  }

  return {
    async embed(request, signal) {
      const { inputs } = request
      if (request.batch) checkBatchSize(inputs.length)
      const outcomes = await embedAll(request, signal)
      const rows = outcomes.map(outcome => {
        if (outcome.status === 'rejected') throw outcome.reason
        return outcome.value
      })
      const sum = (of: (row: (typeof rows)[number]) => number): number =>
        rows.reduce((total, row) => total + of(row), 0)
      return {
        vectors: rows.map(row => row.vector),
        characters: inputs.reduce((total, input) => total + countCharacters(input), 0),
        tokens: sum(row => row.tokens),
        wholeTokens: rows.map(row => row.wholeTokens),
        tokenizationMs: sum(row => row.tokenizationMs) / rows.length,
        queueMs: sum(row => row.queueMs) / rows.length,
        inferenceMs: sum(row => row.inferenceMs) / rows.length,
      }
    },

    tokenize({ inputs, addSpecialTokens, promptName }) {
      if (inputs.length === 0) throw new TeiError('Empty', '`inputs` cannot be empty', 'validation')
      checkBatchSize(inputs.length)
      const prompt = promptOf(promptName)
      return inputs.map(input => {
        if (input === '') throw emptyInput()
        return tokenizing(() => engine.tokenize(prompt + input, addSpecialTokens))
      })
    },

    decode(ids, skipSpecialTokens) {
      checkBatchSize(ids.length)
      return ids.map(one => {
        if (one.length === 0)
          throw new TeiError('Empty', 'Input validation error: `input_ids` cannot be empty', 'tokenization')
        return tokenizing(() => engine.decode(one, skipSpecialTokens))
      })
    },
  }
}

/** Number of code points of a text, or number of token ids. */
function countCharacters(input: Input): number {
  let count = input.length
  if (typeof input === 'string') {
    for (let i = 0; i < input.length; i++) {
      const unit = input.charCodeAt(i)
      if (unit >= 0xd800 && unit < 0xdc00) count -= 1
    }
  }
  return count
}

/**
 * TEI truncates a text above the limit to that many bytes, at the end whatever the direction. It
 * keeps the whole text if the limit falls inside a character.
 */
function cut(text: string, limit: number): string {
  const bytes = Buffer.from(text)
  const insideCharacter = ((bytes[limit] ?? 0) & 0xc0) === 0x80
  return insideCharacter ? text : bytes.toString('utf8', 0, limit)
}

/** Reports errors of the engine's tokenizer as errors of the input. */
function tokenizing<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw new TeiError('Tokenizer', `tokenizer error ${message}`, 'tokenization', { cause: error })
  }
}
