// The clock of Redis, which all workers of a queue share. The clock of one machine can be hours
// wrong: a delay that it ended would last hours for all others.

import { performance } from 'node:perf_hooks'
import type { Redis } from 'ioredis'

export interface RedisClock {
  /** The time of Redis in Unix milliseconds. */
  now(): number
  /** What the clock of this machine is ahead of Redis, in milliseconds. */
  ahead(): number
  /** Reads the time of Redis again: both clocks may be set at any moment. */
  sync(): Promise<void>
}

/** The time of Redis in Unix milliseconds. */
export async function redisTime(redis: Redis): Promise<number> {
  const [seconds, microseconds] = await redis.time()
  return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000)
}

/** As `redisTime`; the time of this machine for an ACL user that may only read and lacks TIME. */
export const readerTime = (redis: Redis): Promise<number> => redisTime(redis).catch(() => Date.now())

/** Reads the time of Redis once; between two reads a monotonic clock counts on. */
export async function openRedisClock(redis: Redis): Promise<RedisClock> {
  let [redisMs, readMs] = [0, 0]
  const now = (): number => Math.round(redisMs + performance.now() - readMs)
  async function sync(): Promise<void> {
    const found = await redisTime(redis)
    redisMs = found
    readMs = performance.now()
  }
  await sync()
  return { now, ahead: () => Date.now() - now(), sync }
}
