// Whose turn it is to end a run. Every worker may, and two that do write the same; but each of them looks at every shard, so
// one at a time is better. A hint, as all in Redis: whoever gets no answer goes ahead.
//
//   {reembed}:run:<run>:finalize-lease   string: the holder, for LEASE_MS at a time

import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { REDIS_PREFIX } from './names.ts'
import { connectRedis } from './redis.ts'

export interface FinalizeLeases extends AsyncDisposable {
  /** Whether somebody is at it just now. */
  isHeld(run: string): Promise<boolean>
  /** The turn, until it is disposed or this process is gone; undefined while it is somebody else's. */
  acquire(run: string, onRenewal: () => void): Promise<AsyncDisposable | undefined>
}

/** A turn whose holder was killed is free again after so long. */
const LEASE_MS = 15_000
const RENEW_MS = 5_000

const keyOf = (run: string): string => `${REDIS_PREFIX}:run:${run}:finalize-lease`

export function openFinalizeLeases(redisUrl: string): FinalizeLeases {
  let connected: Redis | undefined
  const redis = (): Redis => {
    if (connected === undefined) {
      connected = connectRedis(redisUrl, { failFast: true })
      connected.on('error', () => {})
    }
    return connected
  }
  return {
    isHeld: run =>
      redis()
        .exists(keyOf(run))
        .then(
          count => count > 0,
          () => false,
        ),
    async acquire(run, onRenewal) {
      const [key, holder] = [keyOf(run), randomUUID()]
      const answer = await redis()
        .set(key, holder, 'PX', LEASE_MS, 'NX')
        .catch(() => 'OK')
      if (answer !== 'OK') return undefined
      onRenewal()
      const renewing = setInterval(() => {
        redis()
          .pexpire(key, LEASE_MS)
          .catch(() => {})
        onRenewal()
      }, RENEW_MS)
      renewing.unref()
      return {
        async [Symbol.asyncDispose]() {
          clearInterval(renewing)
          // Not in one step: at worst a turn that has run out meanwhile is taken twice.
          const found = await redis()
            .get(key)
            .catch(() => null)
          if (found === holder)
            await redis()
              .del(key)
              .catch(() => {})
        },
      }
    },
    async [Symbol.asyncDispose]() {
      connected?.disconnect()
    },
  }
}
