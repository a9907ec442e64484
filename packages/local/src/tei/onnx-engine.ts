// An engine with a real model on the CPU: ONNX Runtime and a fast tokenizer.

import type { Engine } from './engine.ts'
import { openModel } from './model-files.ts'
import { openOnnxSessionPool } from './onnx-session-pool.ts'
import { createTokenizer, type TokenIds } from './tokenizer.ts'

export interface OnnxEngineOptions {
  /** A model folder, or a Hub id with an optional `@revision`. Default all-MiniLM-L6-v2. */
  readonly model?: string | undefined
}

/**
 * Tokens per call, padding included. Matrix multiplication is fully efficient from about 128
 * tokens.
 */
const TOKENS_PER_CALL = 512

/**
 * Fixed cost of a call, in tokens. Measured with all-MiniLM-L6-v2 on one core: 3.5 ms per call and
 * 0.33 ms per token.
 */
const TOKENS_OF_A_CALL = 12

/**
 * Texts per batch: enough to group by length, and few enough that the next batch forms meanwhile.
 */
const TEXTS_PER_BATCH = 32

/** An engine whose model has its tokenizer in a file. */
export interface OnnxEngine extends Engine<TokenIds> {
  readonly tokenizerFile: string
}

/** Opens an engine and loads its model. */
export async function openOnnxEngine({ model: name }: OnnxEngineOptions = {}): Promise<OnnxEngine> {
  const { id, sha, pooling, maxInputLength, prompts, ...files } = await openModel(name)
  const tokenizer = createTokenizer(files.tokenizer, files.tokenizerConfig)
  const lanes = await openOnnxSessionPool(files.graph, pooling)
  // Warms up, and measures the dimensions, which not every config.json contains.
  const { length: dimensions } = await lanes.embed([tokenizer.encode('a', { specialTokens: true }).ids])

  return {
    model: { id, sha, dtype: 'float32', pooling, dimensions, maxInputLength, prompts },
    padded: false,
    maxBatchRequests: TEXTS_PER_BATCH,
    concurrentBatches: lanes.size,
    ...tokenizer,
    tokenizerFile: files.tokenizerFile,

    async embed(batch) {
      const vectors = new Float32Array(batch.length * dimensions)
      for (const call of callsOf(batch)) {
        const rows = await lanes.embed(call.map(({ ids }) => ids))
        call.forEach(({ index }, row) => {
          vectors.set(rows.subarray(row * dimensions, (row + 1) * dimensions), index * dimensions)
        })
      }
      return vectors
    },

    [Symbol.asyncDispose]: () => lanes[Symbol.asyncDispose](),
  }
}

interface Text {
  readonly index: number
  readonly ids: readonly number[]
}

/**
 * Groups texts of similar length: a text joins a call unless the padding costs more than a new
 * call.
 */
function* callsOf(batch: readonly TokenIds[]): Generator<readonly Text[]> {
  let call: Text[] = []
  let length = 0
  const sorted = batch.map(({ ids }, index) => ({ index, ids })).sort((a, b) => a.ids.length - b.ids.length)
  for (const text of sorted) {
    const padding = call.length * (text.ids.length - length)
    const isFull = (call.length + 1) * text.ids.length > TOKENS_PER_CALL
    if (call.length > 0 && (isFull || padding > TOKENS_OF_A_CALL)) {
      yield call
      call = []
    }
    call.push(text)
    length = text.ids.length
  }
  if (call.length > 0) yield call
}
