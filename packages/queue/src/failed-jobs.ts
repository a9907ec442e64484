// The jobs of a run that have no attempts left.

import type { Redis } from 'ioredis'
import { idsOf } from './counts.ts'
import type { Job, RunPointer } from './job.ts'
import { queueKey, shardOfJobId } from './names.ts'

/** A job without attempts left, with its last error. */
export interface FailedJob extends Job {
  readonly reason: string
}

/** Failed jobs that a queue keeps. */
export const MAX_FAILED = 10_000

/** The ids of a run's failed jobs, newest first. */
export const readFailedIds = async (redis: Redis, queue: string, of: RunPointer): Promise<string[]> =>
  idsOf(of, await redis.zrevrange(queueKey('failed', queue), 0, MAX_FAILED))

/** Reads the newest failed jobs of a run, at most `limit`. */
export async function readFailures(
  redis: Redis,
  queue: string,
  of: RunPointer,
  limit: number,
): Promise<FailedJob[]> {
  const ids = (await readFailedIds(redis, queue, of)).slice(0, limit)
  const reasons = await Promise.all(ids.map(id => redis.hget(queueKey(id, queue), 'failedReason')))
  return ids.map((id, i) => ({ ...of, shard: shardOfJobId(id), reason: reasons[i] ?? '' }))
}
