// Asks an autoscaler for endpoint replicas while no job is on the queue: a run cannot be planned
// without its model, and has no jobs before it is planned. The autoscaler counts the fields of a
// hash. A crashed planner leaves its field until the hash expires.
//
//   {reembed}:<queue>:wake   hash: planner -> start of its wait; expires WAKE_MS after the last renewal

import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { queueKey } from './names.ts'
import { queueOf, type RedisTarget, secureUrlOf } from './redis.ts'
import { connectRedis } from './redis-client.ts'

const WAKE_MS = 60_000
const RENEW_MS = 20_000

/**
 * Keeps a field in the hash `wake` of the queue until disposal. Redis being unreachable is no
 * error: then no autoscaler reads it either.
 */
export async function requestWake(
  target: RedisTarget,
  { ttlMs = WAKE_MS, renewMs = RENEW_MS }: { readonly ttlMs?: number; readonly renewMs?: number } = {},
): Promise<AsyncDisposable> {
  const redis = connectRedis(secureUrlOf(target), { failFast: true })
  const key = queueKey('wake', queueOf(target))
  redis.on('error', () => {})
  const planner = `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`
  const since = new Date().toISOString()
  const renew = async (): Promise<void> => {
    await redis.multi().hset(key, planner, since).pexpire(key, ttlMs).exec()
  }
  await renew().catch(() => {})
  const renewing = setInterval(() => void renew().catch(() => {}), renewMs)
  renewing.unref()
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(renewing)
      await redis.hdel(key, planner).catch(() => {})
      redis.disconnect()
    },
  }
}
