// One call to S3 with its attempts: which errors are worth another attempt, and how long it all may
// take.

import {
  bodyMs,
  createTimeLimit,
  type Deadlines,
  ReembedError,
  startWait,
  type TimeLimit,
} from '@reembed/shared'
import { createBackoff } from './backoff.ts'
import { noReplyError, type S3Call, s3Error, statusOf } from './s3-errors.ts'
import { publishTransientStoreError } from './transient-errors.ts'

export const DEFAULT_TRIES = 6

export interface S3CallOptions {
  /** Maximum number of attempts. */
  readonly tries: number
  readonly limits: Deadlines['store']
  readonly signal?: AbortSignal | undefined
  /** Length of the body that the call sends. */
  readonly bytes?: number
}

/** Maps the error of an attempt, and counts it if another attempt can succeed. */
export function mapS3Error(error: unknown, call: S3Call, { isOver }: Pick<TimeLimit, 'isOver'>): unknown {
  const mapped = isOver ? noReplyError(call) : s3Error(error, call)
  if (mapped instanceof ReembedError && mapped.retry === 'requeue')
    publishTransientStoreError(statusOf(error))
  return mapped
}

/**
 * Repeats a call until it succeeds, fails with an error that is not transient, or has taken too
 * long.
 */
export async function callS3<T>(
  call: S3Call,
  { tries, limits: { replyMs, callMs }, signal, bytes = 0 }: S3CallOptions,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const allMs = bodyMs(callMs, bytes)
  const endMs = performance.now() + allMs
  const retry = createBackoff({ tries, withinMs: allMs, signal })
  using wait = startWait(call.storeName)
  while (true) {
    signal?.throwIfAborted()
    using limit = createTimeLimit(signal)
    // How much of a body is sent is not known here: the timeout of the socket ends a stalled one.
    const attemptMs = bytes === 0 ? replyMs : allMs
    limit.begin(Math.max(1, Math.min(attemptMs, endMs - performance.now())))
    try {
      const reply = await run(limit.signal)
      wait.answered()
      return reply
    } catch (error) {
      const isReply = statusOf(error) !== undefined
      if (isReply) wait.answered()
      signal?.throwIfAborted()
      await retry.wait(mapS3Error(error, call, limit)).catch((failure: unknown) => {
        if (!isReply && !signal?.aborted) wait.gaveUp()
        throw failure
      })
    }
  }
}
