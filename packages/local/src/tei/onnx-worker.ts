// A thread of the session pool. It sends a message when the session is open, and then answers each
// message with token ids by one message with vectors.

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
