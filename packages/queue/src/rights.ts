// Which commands a worker or a producer needs, tried on keys of their own. A right that an ACL
// lacks would otherwise show up in the middle of a job, as an error of a script.

import { randomUUID } from 'node:crypto'
import { deadlines, ReembedError } from '@reembed/shared'
import { REDIS_PREFIX } from './names.ts'
import { missingCommand, redisAddress } from './redis.ts'
import { connectRedis } from './redis-client.ts'
import { createRedisReply, isConnectionError } from './reply.ts'

type Attempt = readonly [command: string, ...args: (string | number)[]]

/** The commands of the queue, its scripts, progress, budgets, leases and the limit coordinator. */
const attemptsOn = (key: string): Attempt[] => [
  ['info'],
  ['time'],
  ['client', 'setname', 'reembed'],
  ['set', key, '1', 'PX', 60_000],
  ['get', key],
  ['getrange', key, 0, 9],
  ['type', key],
  ['exists', key],
  ['pttl', key],
  ['pexpire', key, 60_000],
  ['expire', key, 60],
  ['del', key],
  ['incr', key],
  ['del', key],
  ['hset', key, 'f', '1'],
  ['hsetnx', key, 'f', '1'],
  ['hmset', key, 'f', '1'],
  ['hget', key, 'f'],
  ['hmget', key, 'f'],
  ['hgetall', key],
  ['hvals', key],
  ['hlen', key],
  ['hkeys', key],
  ['hstrlen', key, 'f'],
  ['hrandfield', key, 10],
  ['hexists', key, 'f'],
  ['hincrby', key, 'f', 1],
  ['hdel', key, 'f'],
  ['lpush', key, 'a'],
  ['rpush', key, 'b'],
  ['llen', key],
  ['lrange', key, 0, -1],
  ['lpos', key, 'a'],
  ['lrem', key, 1, 'b'],
  ['rpoplpush', key, key],
  ['lpop', key, 10],
  ['zadd', key, 0, 'a'],
  ['zcard', key],
  ['zcount', key, '-inf', '+inf'],
  ['zscore', key, 'a'],
  ['zrange', key, 0, -1],
  ['zrevrange', key, 0, -1],
  ['zrangebyscore', key, '-inf', '+inf'],
  ['zrangebylex', key, '-', '+'],
  ['zlexcount', key, '-', '+'],
  ['zrem', key, 'b'],
  ['zpopmin', key],
  ['bzpopmin', key, 0.001],
  ['sadd', key, 'a'],
  ['smembers', key],
  ['srem', key, 'a'],
  ['xadd', key, '*', 'f', '1'],
  ['xtrim', key, 'MAXLEN', 0],
  ['del', key],
  ['multi'],
  ['exec'],
  ['script', 'exists', '0'],
  ['script', 'load', 'return 1'],
  ['eval', 'return 1', 0],
  ['evalsha', 'e0e1f9fabfc9d4800c877a703b823ac0578ff8db', 0],
]

/**
 * Tries every command that workers and producers use, in one round trip.
 * @throws ReembedError REDIS_MISCONFIGURED that names the missing rights, REDIS_UNREACHABLE
 */
export async function requireRights(url: string): Promise<void> {
  const client = connectRedis(url)
  client.on('error', () => {})
  try {
    const key = `${REDIS_PREFIX}:check:${randomUUID()}`
    const reply = createRedisReply(url, deadlines().redis.readyMs)
    const refused = await reply(() =>
      Promise.all(
        attemptsOn(key).map(([name, ...args]) =>
          client.call(name, ...args).then(
            () => [],
            (error: unknown) => {
              // A command that did not arrive proves no right.
              if (isConnectionError(error)) throw error
              return missingCommand(error) ?? []
            },
          ),
        ),
      ),
    ).then(answers => answers.flat())
    const missing = [...new Set(refused)]
    if (missing.length === 0) return
    throw new ReembedError(
      'REDIS_MISCONFIGURED',
      `the user of Redis at ${redisAddress(url)} lacks rights that workers need: ${missing.join(', ')}. Grant them with ACL SETUSER, for example \`ACL SETUSER <user> ~${REDIS_PREFIX}:* ${missing.map(name => (name.includes(' ') ? '' : `+${name}`)).join(' ')}\``,
      { option: 'redis' },
    )
  } finally {
    client.disconnect()
  }
}
