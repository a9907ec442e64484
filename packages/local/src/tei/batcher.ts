// The queue between requests and the engine (core/src/queue.rs of TEI). First in, first out. A
// batch takes entries until the next one would exceed the token or text limit, and never waits for
// more entries. Each text is an entry: a request may be split over batches and share them with
// others.

import type { Clock } from '@reembed/shared'
import type { Encoding, Engine } from './engine.ts'
import { TeiError } from './errors.ts'
import type { Metrics } from './metrics.ts'

export interface BatchedResult {
  /**
   * The pooled vector, not normalised. A view on the batch: copy it before keeping or changing it.
   */
  readonly vector: Float32Array
  readonly queueMs: number
  /** Inference time of the whole batch. */
  readonly inferenceMs: number
}

export interface Batcher {
  /** Resolves with the vector of a text. Skips entries whose client has disconnected. */
  embed(encoding: Encoding, signal: AbortSignal): Promise<BatchedResult>
}

interface Entry {
  readonly encoding: Encoding
  readonly signal: AbortSignal
  readonly queuedAt: number
  readonly resolve: (batched: BatchedResult) => void
  readonly reject: (error: unknown) => void
}

export interface BatcherOptions {
  readonly engine: Engine
  readonly maxBatchTokens: number
  readonly maxBatchRequests: number | null
  readonly metrics: Metrics
  readonly clock: Clock
}

export function createBatcher({
  engine,
  maxBatchTokens,
  maxBatchRequests,
  metrics,
  clock,
}: BatcherOptions): Batcher {
  const queue: Entry[] = []
  const prefetched: Entry[][] = []
  const { prefetchedBatches: mostPrefetched = 0 } = engine
  let idleLanes = engine.concurrentBatches
  let scheduled = false

  /**
   * Delays batching to the end of the current turn, so that all texts of a request can share a
   * batch.
   */
  function wake(): void {
    if (scheduled) return
    scheduled = true
    queueMicrotask(() => {
      scheduled = false
      while (queue.length > 0 && (idleLanes > 0 || prefetched.length < mostPrefetched)) {
        // Divides a short queue evenly among the idle lanes.
        const batch = next(Math.ceil(queue.length / Math.max(1, idleLanes)))
        if (batch.length === 0) continue
        if (idleLanes > 0) void run(batch)
        else prefetched.push(batch)
      }
    })
  }

  function next(share: number): Entry[] {
    const most = Math.min(share, maxBatchRequests ?? share)
    const batch: Entry[] = []
    let taken = 0
    let tokens = 0
    let longest = 0
    for (const entry of queue) {
      if (entry.signal.aborted) {
        metrics.count('te_request_failure', { err: 'dropped' })
      } else {
        const { length } = entry.encoding
        const cost = engine.padded ? Math.max(longest, length) * (batch.length + 1) : tokens + length
        if (cost > maxBatchTokens || batch.length === most) break
        longest = Math.max(longest, length)
        tokens += length
        batch.push(entry)
      }
      taken += 1
    }
    queue.splice(0, taken)
    metrics.setQueueSize(queue.length)
    metrics.observe('te_batch_next_size', batch.length)
    metrics.observe('te_batch_next_tokens', tokens)
    return batch
  }

  async function run(batch: readonly Entry[]): Promise<void> {
    const startedAt = clock.now()
    idleLanes -= 1
    try {
      const vectors = await engine.embed(batch.map(entry => entry.encoding))
      const inferenceMs = clock.now() - startedAt
      const { dimensions } = engine.model
      batch.forEach((entry, i) => {
        const vector = vectors.subarray(i * dimensions, (i + 1) * dimensions)
        entry.resolve({ vector, queueMs: startedAt - entry.queuedAt, inferenceMs })
      })
    } catch (error) {
      // As in TEI, a failure fails every text of the batch, including those of other requests.
      const message = error instanceof Error ? error.message : String(error)
      const failure = new TeiError('Backend', `Backend error: ${message}`, 'inference', { cause: error })
      for (const entry of batch) entry.reject(failure)
    } finally {
      idleLanes += 1
      const ready = prefetched.shift()
      if (ready) void run(ready)
      wake()
    }
  }

  return {
    embed: (encoding, signal) =>
      new Promise((resolve, reject) => {
        queue.push({ encoding, signal, queuedAt: clock.now(), resolve, reject })
        metrics.setQueueSize(queue.length)
        wake()
      }),
  }
}
