// The time limit of calls to Redis. ioredis keeps a command while it is disconnected and for as
// long as a connected server is silent, and BullMQ waits for a connection before it sends one: so
// the limit is around the call, not at the command.

import { codeOf, deadlines, messageOf, ReembedError, seconds, startWait, within } from '@reembed/shared'
import { redisAddress } from './redis.ts'

/** Errors of ioredis for a server that it cannot reach, and of a Cluster without a primary. */
const UNREACHABLE =
  /Connection is closed|Command timed out|max retries per request|isn't writeable|Too many Cluster redirections|^CLUSTERDOWN/

/** True for an error of the connection: the server may not have received the command. */
export const isConnectionError = (error: unknown): boolean =>
  UNREACHABLE.test(messageOf(error)) || /^E[A-Z]+$/.test(codeOf(error) ?? '')

/** Awaits the replies to a call, at most the time that a command of `deadlines` may take. */
export type RedisReply = <T>(call: () => Promise<T>) => Promise<T>

/**
 * The limit for calls to one Redis. A call whose time is over rejects with REDIS_UNREACHABLE; its
 * commands may take effect later, so the call must be idempotent.
 */
export function createRedisReply(url: string, limitMs: number = deadlines().redis.callMs): RedisReply {
  const address = redisAddress(url)
  const unreachable = (reason: string, cause?: unknown): ReembedError =>
    new ReembedError(
      'REDIS_UNREACHABLE',
      `Redis at ${address} does not answer (${reason}): check that it runs and is reachable; completed shards are kept`,
      { retry: 'requeue', option: 'redis', cause },
    )
  return async call => {
    using wait = startWait(`Redis at ${address}`)
    try {
      const reply = await within(limitMs, call(), () => unreachable(`no reply for ${seconds(limitMs)} s`))
      wait.answered()
      return reply
    } catch (error) {
      if (error instanceof ReembedError || !isConnectionError(error)) throw error
      throw unreachable(codeOf(error) ?? messageOf(error), error)
    }
  }
}
