// Threads with a session each. Two sessions of one thread do more than one session of two threads, because nothing
// waits for the slower half of every multiplication; and the thread that speaks HTTP is never stopped.

import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { messageOf } from '@reembed/shared'
import type { OnnxSessionOptions } from './onnx-session.ts'
import type { OnnxWorkerReply } from './onnx-worker.ts'

export interface OnnxSessionPool extends AsyncDisposable {
  readonly size: number
  /** The texts' vectors back to back, from the lane that is free first. */
  embed(texts: readonly (readonly number[])[]): Promise<Float32Array<ArrayBuffer>>
}

/** Each lane has the weights in memory, so on large machines a lane gets several threads instead. */
const MAX_SESSIONS = 4

export async function openOnnxSessionPool(
  graph: OnnxSessionOptions['graph'],
  pooling: OnnxSessionOptions['pooling'],
): Promise<OnnxSessionPool> {
  const cores = availableParallelism()
  const size = Math.min(cores, MAX_SESSIONS)
  const workerData: OnnxSessionOptions = { graph, pooling, threads: Math.floor(cores / size) }
  // ONNX Runtime reports its use to its maker and keeps files in the home folder for that, unless told not to. It
  // reads the process' real environment, which only this thread can write.
  process.env.ORT_DISABLE_TELEMETRY ??= '1'
  const workers = Array.from({ length: size }, () => {
    const file = new URL(`./onnx-worker${extname(import.meta.url)}`, import.meta.url)
    return new Worker(file, { workerData, execArgv: [] })
  })
  const end = async (): Promise<void> => void (await Promise.all(workers.map(worker => worker.terminate())))
  try {
    await Promise.all(workers.map(worker => once(worker, 'message')))
  } catch (error) {
    await end()
    throw new TypeError(`ONNX Runtime can't load the model: ${messageOf(error)}`, { cause: error })
  }

  const idle = [...workers]
  const waiting: ((worker: Worker) => void)[] = []

  return {
    size,
    async embed(texts) {
      const worker = idle.pop() ?? (await new Promise<Worker>(resolve => waiting.push(resolve)))
      try {
        worker.postMessage(texts)
        // A lane that dies takes the process with it, as a panic does in TEI: its error has no other listener.
        const [reply] = (await once(worker, 'message')) as [OnnxWorkerReply]
        if ('failure' in reply) throw new Error(reply.failure)
        return reply.vectors
      } finally {
        const next = waiting.shift()
        if (next === undefined) idle.push(worker)
        else next(worker)
      }
    },
    [Symbol.asyncDispose]: end,
  }
}
