// A pool of worker threads with one ONNX session each. Two sessions with one thread are faster than
// one session with two threads, which synchronises its threads at every multiplication. Inference
// never blocks the thread of the HTTP server.

import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { messageOf } from '@reembed/shared'
import type { OnnxSessionOptions } from './onnx-session.ts'
import type { OnnxWorkerReply } from './onnx-worker.ts'

export interface OnnxSessionPool extends AsyncDisposable {
  readonly size: number
  /** Returns the concatenated vectors of the texts, computed by the first free thread. */
  embed(texts: readonly (readonly number[])[]): Promise<Float32Array<ArrayBuffer>>
}

/**
 * Each session holds the weights in memory, so on large machines a session gets several threads.
 */
const MAX_SESSIONS = 4

export async function openOnnxSessionPool(
  graph: OnnxSessionOptions['graph'],
  pooling: OnnxSessionOptions['pooling'],
): Promise<OnnxSessionPool> {
  const cores = availableParallelism()
  const size = Math.min(cores, MAX_SESSIONS)
  const workerData: OnnxSessionOptions = { graph, pooling, threads: Math.floor(cores / size) }
  // ONNX Runtime sends telemetry and writes files to the home folder unless this variable is set.
  // It reads the environment of the process, which only the main thread can change.
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
    throw new TypeError(`ONNX Runtime cannot load the model: ${messageOf(error)}`, { cause: error })
  }

  const idle = [...workers]
  const waiting: ((worker: Worker) => void)[] = []

  return {
    size,
    async embed(texts) {
      const worker = idle.pop() ?? (await new Promise<Worker>(resolve => waiting.push(resolve)))
      try {
        worker.postMessage(texts)
        // A crashed thread ends the process, as a panic does in TEI: its 'error' event has no
        // listener.
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
