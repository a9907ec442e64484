// The model behind a fake TEI: vectors that anyone can compute, the time that a GPU takes, and what it gets wrong.

import { setImmediate as turn } from 'node:timers/promises'
import {
  type Clock,
  createHashEngine,
  type Encoding,
  type Engine,
  type HashEngineOptions,
} from '@reembed/local'

export interface FakeModelOptions extends HashEngineOptions {
  /** What /info states instead of what the vectors are made of: on HF the id is `/repository` and the sha null. */
  readonly reportedModel?: { readonly id?: string; readonly sha?: string | null } | undefined
  /** What a batch takes: `baseMs + msPerToken x cost`. Its cost is the sum of its tokens, or if padded the longest times the count. */
  readonly baseMs?: number | undefined
  readonly msPerToken?: number | undefined
  /** As CPU and float32 models do. Default false, as flash attention does. */
  readonly padded?: boolean | undefined
  /** Texts of one batch: 4 on CPU with candle, 8 with ORT. Default no limit. */
  readonly maxBatchRequests?: number | null | undefined
}

/** What the model gets wrong; looked at with each text, so it may be changed at any time. */
export interface ModelFaults {
  /** The tokeniser fails: 422 for the whole request. */
  tokenizer?: ((text: string) => boolean) | undefined
  /** The batch fails on the GPU, and with it everything that shared it, whoever sent it: 424. */
  failsBatch?: ((text: string) => boolean) | undefined
  /** Every batch fails, quickly, as on a GPU that fell off the bus; /health notices. */
  allBatchesFail?: boolean | undefined
  /** The vector is NaN; told the batch, since co-batching is what sets some of these off. */
  nan?: ((text: string, batch: readonly string[]) => boolean) | undefined
  /** Relative error of each value, another for each batch, as half precision has. */
  jitter?: number | undefined
}

type Text = Encoding & { readonly text: string }

export function createFakeModel(options: FakeModelOptions, faults: ModelFaults, clock: Clock): Engine<Text> {
  const { reportedModel, baseMs = 0, msPerToken = 0, padded = false, maxBatchRequests = null } = options
  const hash = createHashEngine(options) as Engine<Text>
  const { dimensions } = hash.model
  let batches = 0
  let failed = false

  return {
    ...hash,
    model: { ...hash.model, ...reportedModel },
    padded,
    maxBatchRequests,
    concurrentBatches: 1,
    prefetchedBatches: 1,
    isHealthy: async () => !(failed && faults.allBatchesFail),

    encode(text, encoding) {
      if (faults.tokenizer?.(text)) throw new Error('Unk token is not in the vocabulary')
      return hash.encode(text, encoding)
    },

    async embed(batch) {
      batches += 1
      failed = faults.allBatchesFail === true
      if (failed) {
        await turn()
        throw new Error('DriverError(CUDA_ERROR_ECC_UNCORRECTABLE, "uncorrectable ECC error encountered")')
      }
      const lengths = batch.map(({ length }) => length)
      const cost = padded ? Math.max(...lengths) * batch.length : lengths.reduce((sum, one) => sum + one, 0)
      const ms = baseMs + msPerToken * cost
      if (ms > 0) await clock.sleep(ms)
      const texts = batch.map(({ text }) => text)
      const { failsBatch, nan, jitter = 0 } = faults
      if (failsBatch && texts.some(failsBatch)) throw new Error('DriverError(CUDA_ERROR_ILLEGAL_ADDRESS)')
      const vectors = await hash.embed(batch)
      if (jitter > 0) {
        // Powers of 7 leave no pattern that a test could trip over; the same batch number gives the same error.
        for (let i = 0; i < vectors.length; i++) {
          vectors[i] = (vectors[i] ?? 0) * (1 + jitter * Math.sin(batches + i * 7))
        }
      }
      texts.forEach((text, i) => {
        if (nan?.(text, texts)) vectors.fill(Number.NaN, i * dimensions, (i + 1) * dimensions)
      })
      return vectors
    },
  }
}
