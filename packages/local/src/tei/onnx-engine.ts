// A real model on the CPU: ONNX Runtime for the numbers, a fast tokenizer for the texts.

import type { Engine } from './engine.ts'
import { openModel } from './model-files.ts'
import { openOnnxSession } from './onnx-session.ts'
import { createTokenizer } from './tokenizer.ts'

export interface OnnxEngineOptions {
  /** A folder in the usual ONNX layout, a Hub id with an optional `@revision`, or absent for all-MiniLM-L6-v2. */
  readonly model?: string | undefined
}

/**
 * Tokens of one call, padding included. Multiplications are efficient from about 128 on; more would only keep the
 * event loop stopped for longer (0.1 s on two cores with these).
 */
const TOKENS_PER_CALL = 512

/** Texts of one batch: enough to sort by length, few enough that the next batch gathers while this one runs. */
const TEXTS_PER_BATCH = 64

/** Loads the model. */
export async function openOnnxEngine({
  model: name,
}: OnnxEngineOptions = {}): Promise<Engine<readonly number[]>> {
  const { id, sha, pooling, maxInputLength, prompts, ...files } = await openModel(name)
  const tokenizer = createTokenizer(files.tokenizer, files.tokenizerConfig)
  const session = await openOnnxSession(files.graph, pooling)
  // Warms up, and tells the width, which not every config.json states.
  const { length: dimensions } = await session.embed([tokenizer.encode('a', { specialTokens: true })])

  return {
    model: { id, sha, dtype: 'float32', pooling, dimensions, maxInputLength, prompts },
    padded: false,
    maxBatchRequests: TEXTS_PER_BATCH,
    ...tokenizer,

    async embed(batch) {
      const vectors = new Float32Array(batch.length * dimensions)
      for (const call of callsOf(batch)) {
        const rows = await session.embed(call.map(({ ids }) => ids))
        call.forEach(({ index }, row) => {
          vectors.set(rows.subarray(row * dimensions, (row + 1) * dimensions), index * dimensions)
        })
      }
      return vectors
    },

    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  }
}

interface Text {
  readonly index: number
  readonly ids: readonly number[]
}

/** Texts of like length go together, so that little is padding. */
function* callsOf(batch: readonly (readonly number[])[]): Generator<readonly Text[]> {
  let call: Text[] = []
  const sorted = batch.map((ids, index) => ({ index, ids })).sort((a, b) => a.ids.length - b.ids.length)
  for (const text of sorted) {
    // Sorted upwards, so this one is the longest and the others are padded to it.
    if (call.length > 0 && (call.length + 1) * text.ids.length > TOKENS_PER_CALL) {
      yield call
      call = []
    }
    call.push(text)
  }
  if (call.length > 0) yield call
}
