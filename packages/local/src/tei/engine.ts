// The interface between protocol and model. The protocol (server.ts, infer.ts) does not depend on
// the model; an engine does not depend on HTTP, limits or queues.

/** The facts of a model that /info reports. */
export interface EngineModel {
  readonly id: string
  /** Identifies the exact weights; null if unknown. */
  readonly sha: string | null
  readonly dtype: string
  readonly pooling: 'cls' | 'mean'
  readonly dimensions: number
  /** Tokens, special ones included. */
  readonly maxInputLength: number
  /** Prompts by name, as in config_sentence_transformers.json. */
  readonly prompts: Readonly<Record<string, string>>
}

/** An encoded text. The server reads only its lengths in tokens. */
export interface Encoding {
  readonly length: number
  /** Before truncation. */
  readonly wholeLength: number
}

export interface EncodeOptions {
  readonly specialTokens: boolean
  /** Truncates to this many tokens, special tokens included. 'right' removes tokens at the end. */
  readonly truncate?: { readonly tokens: number; readonly side: 'left' | 'right' } | undefined
}

/**
 * A token in the reply of /tokenize. Start and stop count code points; null if the token has no
 * span.
 */
export interface Token {
  readonly id: number
  readonly text: string
  readonly special: boolean
  readonly start: number | null
  readonly stop: number | null
}

export interface Engine<E extends Encoding = Encoding> extends AsyncDisposable {
  readonly model: EngineModel
  /**
   * If true, a batch costs its longest text times the number of texts; else the sum of its tokens.
   */
  readonly padded: boolean
  /** Maximum number of texts per batch; null: only tokens are limited. */
  readonly maxBatchRequests: number | null
  /** Number of batches that it embeds concurrently. */
  readonly concurrentBatches: number
  /** Batches formed ahead while all lanes are busy. Later texts cannot join them. Default 0. */
  readonly prefetchedBatches?: number
  /** Called by /health after a failed batch. TEI runs the model once to answer. */
  readonly isHealthy?: () => Promise<boolean>
  encode(text: string, options: EncodeOptions): E
  tokenize(text: string, specialTokens: boolean): readonly Token[]
  decode(ids: readonly number[], skipSpecialTokens: boolean): string
  /** Returns the pooled vectors, concatenated in the order of the batch, not normalised. */
  embed(batch: readonly E[]): Promise<Float32Array>
}
