// The lease to finalize a run. Several workers may finalize concurrently, because they write the
// same bytes, but each reads every shard, so the lease saves work. Like all of Redis it is only a
// hint: a worker that gets no answer from Redis finalizes without it.
//
//   {reembed}:run:<run key>:finalize-lease   string: the holder, for LEASE_MS at a time

import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { readToken } from './bounded-reads.ts'
import type { RunPointer } from './job.ts'
import { REDIS_PREFIX, runKey } from './names.ts'
import { connectRedis } from './redis-client.ts'

export interface FinalizeLeases extends AsyncDisposable {
  /** Whether a process holds the lease; false if Redis does not answer. */
  isHeld(of: RunPointer): Promise<boolean>
  /**
   * Acquires the lease until disposal or the end of this process; undefined while another process
   * holds it.
   */
  acquire(of: RunPointer, onRenewal: () => void): Promise<AsyncDisposable | undefined>
}

/** The lease of a killed holder expires after this time. */
const LEASE_MS = 15_000
const RENEW_MS = 5_000

const keyOf = (of: RunPointer): string => `${REDIS_PREFIX}:run:${runKey(of)}:finalize-lease`

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
    isHeld: of =>
      redis()
        .exists(keyOf(of))
        .then(
          count => count > 0,
          () => false,
        ),
    async acquire(of, onRenewal) {
      const [key, holder] = [keyOf(of), randomUUID()]
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
          // Not atomic: at worst it deletes another holder's lease, and two workers finalize
          // concurrently.
          const found = await readToken(redis(), key).catch(() => '')
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
