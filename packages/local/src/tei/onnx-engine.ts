// A real model on the CPU: ONNX Runtime for the numbers, a fast tokenizer for the texts.

import type { Engine } from './engine.ts'
import { openModel } from './model-files.ts'
import { openOnnxSessionPool } from './onnx-session-pool.ts'
import { createTokenizer } from './tokenizer.ts'

export interface OnnxEngineOptions {
  /** A folder in the usual ONNX layout, a Hub id with an optional `@revision`, or absent for all-MiniLM-L6-v2. */
  readonly model?: string | undefined
}

/** Tokens of one call, padding included: multiplications are as efficient as they get from about 128 on. */
const TOKENS_PER_CALL = 512

/** A call by itself costs what this many tokens cost (all-MiniLM-L6-v2: 3.5 ms and 0.33 ms a token, one core). */
const TOKENS_OF_A_CALL = 12

/** Texts of one batch: enough to sort by length, few enough that the next batch gathers while this one runs. */
const TEXTS_PER_BATCH = 32

/** Loads the model. */
export async function openOnnxEngine({
  model: name,
}: OnnxEngineOptions = {}): Promise<Engine<readonly number[]>> {
  const { id, sha, pooling, maxInputLength, prompts, ...files } = await openModel(name)
  const tokenizer = createTokenizer(files.tokenizer, files.tokenizerConfig)
  const lanes = await openOnnxSessionPool(files.graph, pooling)
  // Warms up, and tells the width, which not every config.json states.
  const { length: dimensions } = await lanes.embed([tokenizer.encode('a', { specialTokens: true })])

  return {
    model: { id, sha, dtype: 'float32', pooling, dimensions, maxInputLength, prompts },
    padded: false,
    maxBatchRequests: TEXTS_PER_BATCH,
    concurrentBatches: lanes.size,
    ...tokenizer,

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

/** Texts of like length go together: a text joins a call unless padding the others to it costs more than a new one. */
function* callsOf(batch: readonly (readonly number[])[]): Generator<readonly Text[]> {
  let call: Text[] = []
  let length = 0
  const sorted = batch.map((ids, index) => ({ index, ids })).sort((a, b) => a.ids.length - b.ids.length)
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
