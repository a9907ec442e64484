// Counts jobs by state: of a queue, and of one run. Of a run, waiting jobs are counted in the index
// (O(log jobs)); the other states are lists of job ids, which contain the run. Jobs in progress are
// as many as workers take at once. At most LIMITS.listedJobs of each list are read.

import { LIMITS } from '@reembed/shared'
import type { Redis } from 'ioredis'
import type { RunPointer } from './job.ts'
import { queueKey, runBounds, runKey } from './names.ts'

/**
 * The states of a job that is not complete, each with the key of its jobs: `ready` waits for a
 * worker; the others are BullMQ's, and `wait` holds a job only until the next pick.
 */
export const QUEUE_STATES = ['wait', 'ready', 'active', 'delayed', 'failed'] as const
export type QueueState = (typeof QUEUE_STATES)[number]

/** Number of jobs by state. */
export interface QueueCounts {
  readonly waiting: number
  readonly active: number
  readonly delayed: number
  readonly failed: number
}

/** The last position of a list that is read. */
const LAST = LIMITS.listedJobs - 1

/** Those of `ids` that are jobs of the run. */
export const idsOf = (of: RunPointer, ids: readonly string[]): string[] =>
  ids.filter(id => id.startsWith(`${runKey(of)}.`))

/** Counts the jobs of a queue. */
export async function countStates(redis: Redis, queue: string): Promise<Record<QueueState, number>> {
  const key = (state: QueueState): string => queueKey(state, queue)
  const [wait, ready, active, delayed, failed] = await Promise.all([
    redis.llen(key('wait')),
    redis.zcard(key('ready')),
    redis.llen(key('active')),
    redis.zcard(key('delayed')),
    redis.zcard(key('failed')),
  ])
  return { wait, ready, active, delayed, failed }
}

export async function countAll(redis: Redis, queue: string): Promise<QueueCounts> {
  const { wait, ready, ...others } = await countStates(redis, queue)
  return { waiting: wait + ready, ...others }
}

export async function countRun(redis: Redis, queue: string, of: RunPointer): Promise<QueueCounts> {
  const key = (part: string): string => queueKey(part, queue)
  const [from, to] = runBounds(of)
  const [ready, ...lists] = await Promise.all([
    redis.zlexcount(key('ready'), from, to),
    redis.lrange(key('wait'), 0, LAST),
    redis.lrange(key('active'), 0, LAST),
    redis.zrevrange(key('delayed'), 0, LAST),
    redis.zrevrange(key('failed'), 0, LAST),
  ])
  const [wait = 0, active = 0, delayed = 0, failed = 0] = lists.map(ids => idsOf(of, ids).length)
  return { waiting: wait + ready, active, delayed, failed }
}
