// Keeps the jobs in progress of a worker although Redis loses them. A restart without data,
// FLUSHALL, or a failover to a replica that lags behind removes jobs with their locks. The next
// sweep enqueues every missing shard, also those in progress, and a second worker would embed them
// again. So a worker puts its jobs back with their locks: when its connection is ready again, when
// a heartbeat finds a lock gone, and when BullMQ cannot renew one. Meanwhile sweeps wait
// (settle.ts). A job is lost only when another worker holds its lock, or has failed it.

import type { Redis } from 'ioredis'
import { readToken } from './bounded-reads.ts'
import { queueKey } from './names.ts'

/** A job in progress, with the fields from which BullMQ reads it. */
export interface HeldJob {
  readonly id: string
  /** The value of its lock. */
  readonly token: string
  readonly name: string
  /** JSON. */
  readonly data: string
  /** JSON. */
  readonly opts: string
  readonly timestamp: number
}

export interface Hold {
  /**
   * Resolves when no earlier attempt of the job is in progress in this process, which can take a
   * job a second time after Redis lost the first lock.
   */
  readonly alone: Promise<void>
  /** Ends the hold. Must precede the command that ends the job. */
  release(): void
}

export interface HeldJobs {
  hold(job: HeldJob): Hold
  /**
   * Puts the jobs in progress back whose locks Redis does not have. Resolves to the ids of those
   * that it put back, and of those that are lost; rejects if Redis does not answer.
   */
  restore(): Promise<{ readonly restored: readonly string[]; readonly lost: readonly string[] }>
}

// The fields of the hash are those of BullMQ's own `storeJob`.
const RESTORE = `
local wait, ready, delayed, active, failed, stalled, job, lock = unpack(KEYS)
local id, token, lockMs, name, data, opts, timestamp = unpack(ARGV)
local holder = redis.call('GET', lock)
if holder and holder ~= token then return 0 end
if redis.call('ZSCORE', failed, id) then return 0 end
if redis.call('EXISTS', job) == 0 then
  redis.call('HSET', job, 'name', name, 'data', data, 'opts', opts, 'timestamp', timestamp, 'delay', 0, 'priority', 0)
end
redis.call('LREM', wait, 0, id)
redis.call('ZREM', ready, id)
redis.call('ZREM', delayed, id)
redis.call('LREM', active, 0, id)
redis.call('LPUSH', active, id)
redis.call('SREM', stalled, id)
redis.call('SET', lock, token, 'PX', lockMs)
return 1
`
const LISTS = ['wait', 'ready', 'delayed', 'active', 'failed', 'stalled'] as const

interface Scripted {
  reembedRestore(...args: (string | number)[]): Promise<number>
}

/** @param redis the connection of the worker, so that its commands keep their order */
export function createHeldJobs(redis: Redis, queue: string, lockMs: number): HeldJobs {
  redis.defineCommand('reembedRestore', { lua: RESTORE, numberOfKeys: LISTS.length + 2 })
  const scripts = redis as Redis & Scripted
  const lockKey = (id: string): string => queueKey(`${id}:lock`, queue)
  const held = new Map<string, { readonly job: HeldJob; readonly ended: Promise<void> }>()

  async function restoreOne({ id, token, name, data, opts, timestamp }: HeldJob): Promise<boolean> {
    const keys = [...LISTS.map(list => queueKey(list, queue)), queueKey(id, queue), lockKey(id)]
    return (await scripts.reembedRestore(...keys, id, token, lockMs, name, data, opts, timestamp)) === 1
  }

  return {
    hold(job) {
      const earlier = held.get(job.id)?.ended
      const { promise, resolve } = Promise.withResolvers<void>()
      const ended = earlier ? promise.then(() => earlier) : promise
      const own = { job, ended }
      held.set(job.id, own)
      return {
        alone: earlier ?? Promise.resolve(),
        release() {
          if (held.get(job.id) === own) held.delete(job.id)
          resolve()
        },
      }
    },
    async restore() {
      const [restored, lost]: [string[], string[]] = [[], []]
      const jobs = Array.from(held.values(), ({ job }) => job)
      await Promise.all(
        jobs.map(async job => {
          if ((await readToken(redis, lockKey(job.id))) === job.token) return
          const list = (await restoreOne(job)) ? restored : lost
          list.push(job.id)
        }),
      )
      return { restored, lost }
    },
  }
}
