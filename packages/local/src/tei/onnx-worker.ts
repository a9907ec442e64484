// The thread of one lane: token ids in, vectors out, one call at a time. Its first message says that it is ready.

import { parentPort, workerData } from 'node:worker_threads'
import { type OnnxSessionOptions, openOnnxSession } from './onnx-session.ts'

export type OnnxWorkerReply = { readonly vectors: Float32Array<ArrayBuffer> } | { readonly failure: string }

const session = await openOnnxSession(workerData as OnnxSessionOptions)

parentPort?.on('message', async (texts: readonly (readonly number[])[]) => {
  try {
    const vectors = await session.embed(texts)
    parentPort?.postMessage({ vectors } satisfies OnnxWorkerReply, [vectors.buffer])
  } catch (error) {
    parentPort?.postMessage({
      failure: error instanceof Error ? error.message : String(error),
    } satisfies OnnxWorkerReply)
  }
})
parentPort?.postMessage('ready')
