// The model of a fake TEI: computable vectors, the timing of a GPU, and its faults.

import { setImmediate as turn } from 'node:timers/promises'
import { createHashEngine, type Encoding, type Engine, type HashEngineOptions } from '@reembed/local'
import type { Clock } from '@reembed/shared'

export interface FakeModelOptions extends HashEngineOptions {
  /**
   * Id and sha in the reply of /info, if they differ from `model` and `sha`, which determine the
   * vectors. HF Inference Endpoints report the id `/repository` and no sha.
   */
  readonly reportedModel?: { readonly id?: string; readonly sha?: string | null } | undefined
  /**
   * A batch takes `baseMs + msPerToken * cost` milliseconds. The cost is the sum of the tokens of
   * the batch; if padded, the longest text times the number of texts. Default 0.
   */
  readonly baseMs?: number | undefined
  /** See `baseMs`. Default 0. */
  readonly msPerToken?: number | undefined
  /**
   * Whether batches are padded, as by CPU and float32 models. Default false, as with flash
   * attention.
   */
  readonly padded?: boolean | undefined
  /** Maximum number of texts per batch: 4 on CPU with candle, 8 with ORT. Default no limit. */
  readonly maxBatchRequests?: number | null | undefined
}

/** Faults of the model. They are read for each text, so a test may change them at any time. */
export interface ModelFaults {
  /** Returns true for a text that the tokenizer refuses: 422 for its whole request. */
  tokenizer?: ((text: string) => boolean) | undefined
  /**
   * Returns true for a text that fails its batch: 424 for every request with a text in that batch.
   */
  failsBatch?: ((text: string) => boolean) | undefined
  /** Every batch fails at once, as on a broken GPU; /health reports it after the first failure. */
  allBatchesFail?: boolean | undefined
  /** Returns true for a text whose vector is NaN. Some models fail only in certain batches. */
  nan?: ((text: string, batch: readonly string[]) => boolean) | undefined
  /** Relative error of each value, different in each batch, as with half precision. */
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
        // Deterministic: the same batch number gives the same errors.
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
