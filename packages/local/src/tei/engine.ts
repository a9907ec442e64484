// What turns texts into vectors. The protocol (server.ts, infer.ts) knows nothing of the model behind this, and an
// engine knows nothing of HTTP, limits or queues.

/** What /info states about a model. */
export interface EngineModel {
  readonly id: string
  /** Exactly which weights these are, where that is known. */
  readonly sha: string | null
  readonly dtype: string
  readonly pooling: 'cls' | 'mean'
  readonly dimensions: number
  /** Tokens, special ones included. */
  readonly maxInputLength: number
  /** Prompts by name, as in config_sentence_transformers.json. */
  readonly prompts: Readonly<Record<string, string>>
}

/** A text as the engine wants it. Opaque to the server but for its length in tokens. */
export interface Encoding {
  readonly length: number
}

export interface EncodeOptions {
  readonly specialTokens: boolean
  /** Cuts to this many tokens, special ones included, keeping the given side's opposite: 'right' cuts the end. */
  readonly truncate?: { readonly tokens: number; readonly side: 'left' | 'right' } | undefined
}

/** One token as /tokenize shows it; start and stop count code points of the text, null where there is no span. */
export interface Token {
  readonly id: number
  readonly text: string
  readonly special: boolean
  readonly start: number | null
  readonly stop: number | null
}

export interface Engine<E extends Encoding = Encoding> extends AsyncDisposable {
  readonly model: EngineModel
  /** Whether a batch costs its longest text times its count, or only the sum of its tokens. */
  readonly padded: boolean
  /** The most texts that it embeds in one go, or null where only tokens count. */
  readonly maxBatchRequests: number | null
  /** How many batches it can work on at once. */
  readonly concurrentBatches: number
  /** Batches made up ahead while all lanes are busy; who comes later cannot join them. Default none. */
  readonly prefetchedBatches?: number
  /** Asked by /health after a batch that failed; TEI runs the model once to see. */
  readonly isHealthy?: () => Promise<boolean>
  encode(text: string, options: EncodeOptions): E
  tokenize(text: string, specialTokens: boolean): readonly Token[]
  decode(ids: readonly number[], skipSpecialTokens: boolean): string
  /** The pooled vectors back to back, in order, not normalised. */
  embed(batch: readonly E[]): Promise<Float32Array>
}
