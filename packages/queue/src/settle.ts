// Whether Redis has lost its data. A key holds a random value; a process that finds another value
// than before knows that the data was lost. It then leaves workers the time to put their jobs in
// progress back (held-jobs.ts), before it enqueues the missing shards.
//
//   {reembed}:<queue>:data   string: random, set by the first process that finds none

import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { readToken } from './bounded-reads.ts'
import { queueKey } from './names.ts'
import type { RedisReply } from './reply.ts'

/** More than a worker needs to connect again, and more than two of its heartbeats. */
export const SETTLE_MS = 5_000

/**
 * Begins to watch the data of Redis. The returned function waits until `settleMs` after it has
 * found a loss, and resolves to whether it has waited. @throws the reason of its signal
 */
export function watchData(
  redis: Redis,
  queue: string,
  settleMs: number = SETTLE_MS,
  reply: RedisReply = call => call(),
): (signal?: AbortSignal) => Promise<boolean> {
  const key = queueKey('data', queue)
  const read = (): Promise<string> =>
    reply(async () => {
      await redis.set(key, randomUUID(), 'NX')
      return readToken(redis, key)
    })
  let known = read().catch(() => undefined)
  let lostMs = Number.NEGATIVE_INFINITY
  return async signal => {
    const [before, found] = [await known, await read()]
    known = Promise.resolve(found)
    if (before !== undefined && before !== found) lostMs = performance.now()
    const leftMs = lostMs + settleMs - performance.now()
    if (leftMs <= 0) return false
    // A timer drops the fraction of a millisecond: the next call would wait again.
    await wait(Math.ceil(leftMs) + 1, undefined, { signal })
    return true
  }
}
