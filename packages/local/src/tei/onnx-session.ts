// An ONNX Runtime session: converts token ids to pooled vectors.

import type { Tensor } from 'onnxruntime-node'

export interface OnnxSession extends AsyncDisposable {
  /** Returns concatenated vectors, not normalised. Pads to the longest text. Blocks its thread. */
  embed(texts: readonly (readonly number[])[]): Promise<Float32Array<ArrayBuffer>>
}

export interface OnnxSessionOptions {
  /** The bytes of the model, or its path. */
  readonly graph: Uint8Array | string
  readonly pooling: 'cls' | 'mean'
  readonly threads: number
}

/** Opens a session. Imports onnxruntime-node, a native library, on the first call. */
export async function openOnnxSession({ graph, pooling, threads }: OnnxSessionOptions): Promise<OnnxSession> {
  const { default: ort } = await import('onnxruntime-node')
  const options = { intraOpNumThreads: threads, logSeverityLevel: 3 } as const
  const session = await (typeof graph === 'string'
    ? ort.InferenceSession.create(graph, options)
    : ort.InferenceSession.create(graph, options))
  const output =
    session.outputNames.find(name => name === 'last_hidden_state') ?? session.outputNames[0] ?? ''

  return {
    async embed(texts) {
      const length = Math.max(...texts.map(text => text.length))
      const ids = new BigInt64Array(texts.length * length)
      const mask = new BigInt64Array(texts.length * length)
      texts.forEach((text, row) => {
        text.forEach((id, token) => {
          ids[row * length + token] = BigInt(id)
        })
        mask.fill(1n, row * length, row * length + text.length)
      })
      const inputs: Record<string, BigInt64Array> = {
        input_ids: ids,
        attention_mask: mask,
        token_type_ids: new BigInt64Array(ids.length),
      }
      const feeds: Record<string, Tensor> = {}
      for (const name of session.inputNames) {
        const values = inputs[name]
        if (values === undefined) throw new TypeError(`the model requires an unsupported input: ${name}`)
        feeds[name] = new ort.Tensor('int64', values, [texts.length, length])
      }
      const states = (await session.run(feeds, [output]))[output]
      if (!(states?.data instanceof Float32Array) || states.dims.length !== 3) {
        throw new TypeError(`the model's output ${output} is not one float32 state per token`)
      }
      return pooled(states.data, texts, length, pooling)
    },
    [Symbol.asyncDispose]: () => session.release(),
  }
}

/** Pools [text, token, width] to [text, width]: the first token, or the mean without padding. */
function pooled(
  states: Float32Array,
  texts: readonly (readonly number[])[],
  length: number,
  pooling: 'cls' | 'mean',
): Float32Array<ArrayBuffer> {
  const width = states.length / (texts.length * length)
  const vectors = new Float32Array(texts.length * width)
  const sums = new Float64Array(width)
  texts.forEach((text, row) => {
    const tokens = pooling === 'cls' ? 1 : text.length
    const start = row * length * width
    sums.fill(0)
    for (let i = 0; i < tokens * width; i++) {
      const column = i % width
      sums[column] = (sums[column] ?? 0) + (states[start + i] ?? 0)
    }
    for (let column = 0; column < width; column++)
      vectors[row * width + column] = (sums[column] ?? 0) / tokens
  })
  return vectors
}
