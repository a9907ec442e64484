// The connection to Redis. Redis holds hints only (the store is the truth), but a Redis that evicts keys or is too
// old for BullMQ would lose jobs quietly, so it is looked at before it is used.

import { codeOf, messageOf, ReembedError } from '@reembed/shared'
import { Redis, type RedisOptions } from 'ioredis'

export interface RedisInfo {
  readonly version: string
  readonly evictionPolicy: string
  readonly usedBytes: number
  readonly maxBytes: number
}

export interface ConnectOptions {
  /** How long to wait for a Redis that does not answer yet. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
}

const OLDEST = [6, 2] as const

/** A Redis by its URL; `insecure` allows one on another machine that has neither password nor TLS. */
export type RedisTarget = string | { readonly url: string; readonly insecure?: boolean | undefined }

/**
 * The URL of a Redis to connect to. Anything that can write to the queue controls the workers, so a Redis on another
 * machine must have a password or TLS.
 * @throws ReembedError USAGE with option 'redis.insecure'
 */
export function secureUrlOf(redis: RedisTarget): string {
  const { url, insecure = false } = typeof redis === 'string' ? { url: redis } : redis
  const where = redisAddress(url)
  const { protocol, hostname, password } = new URL(url)
  if (insecure || protocol === 'rediss:' || password !== '' || isLoopback(hostname)) return url
  throw new ReembedError(
    'USAGE',
    `${where} is on another machine and has neither password nor TLS, so any client that reaches it controls the workers: ` +
      'use redis://:password@host or rediss://host, or allow an insecure Redis in a private network',
    { option: 'redis.insecure' },
  )
}

const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d+){3}$/.test(hostname)

/**
 * Waits until Redis answers, then reads what it is.
 * @throws ReembedError REDIS_UNREACHABLE naming the address, or REDIS_MISCONFIGURED for a wrong password or a Redis
 *   that is too old.
 */
export async function inspectRedis(
  url: string,
  { timeoutMs = 10_000, signal }: ConnectOptions = {},
): Promise<RedisInfo> {
  const where = redisAddress(url)
  const deadline = Date.now() + timeoutMs
  for (let wait = 100; ; wait = Math.min(2 * wait, 1_000)) {
    signal?.throwIfAborted()
    const client = new Redis(url, {
      ...redisOptions,
      lazyConnect: true,
      connectTimeout: Math.max(500, Math.min(5_000, deadline - Date.now())),
      retryStrategy: () => null,
    })
    let last: unknown
    client.on('error', error => {
      last = error
    })
    try {
      await client.connect()
      return parseInfo(await client.info(), where)
    } catch (error) {
      const cause = codeOf(error) || /^[A-Z]+ /.test(messageOf(error)) ? error : (last ?? error)
      if (error instanceof ReembedError) throw error
      if (/WRONGPASS|NOAUTH|NOPERM/.test(messageOf(cause))) {
        throw new ReembedError(
          'REDIS_MISCONFIGURED',
          `Redis at ${where} refused the user or password: put the right ones into the URL`,
          { cause },
        )
      }
      if (Date.now() + wait >= deadline) {
        throw new ReembedError(
          'REDIS_UNREACHABLE',
          `no Redis answers at ${where} (${codeOf(cause) ?? messageOf(cause)}): start it, or correct the URL`,
          { retry: 'requeue', option: 'redis', cause },
        )
      }
    } finally {
      client.disconnect()
    }
    await new Promise(resolve => setTimeout(resolve, wait))
  }
}

/** Fails with REDIS_MISCONFIGURED when Redis may drop keys to free memory: a queue must never be evicted. */
export function requireNoEviction(facts: RedisInfo, url: string): void {
  if (facts.evictionPolicy === 'noeviction') return
  throw new ReembedError(
    'REDIS_MISCONFIGURED',
    `Redis at ${redisAddress(url)} may evict jobs (maxmemory-policy is ${facts.evictionPolicy}): set it to noeviction, for example with \`redis-cli config set maxmemory-policy noeviction\``,
  )
}

/**
 * A connection that reconnects for ever; commands wait meanwhile, or with `failFast` fail when it can't connect. The caller disposes
 * it.
 */
export function connectRedis(url: string, { failFast = false }: { readonly failFast?: boolean } = {}): Redis {
  return new Redis(url, {
    ...redisOptions,
    ...(failFast && { commandTimeout: 5_000 }),
    maxRetriesPerRequest: failFast ? 0 : null,
    retryStrategy: (times: number) => Math.min(50 * 2 ** times, 2_000),
  })
}

/** The address without user and password, for messages. */
export function redisAddress(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url)
    return `${protocol}//${host}${pathname}`
  } catch {
    throw new ReembedError(
      'USAGE',
      'the Redis URL must look like redis://host:6379 or rediss://user:password@host:6379',
    )
  }
}

/** What all our connections have in common. */
export const redisOptions: Pick<
  RedisOptions,
  'enableReadyCheck' | 'keepAlive' | 'connectionName' | 'reconnectOnError'
> = {
  enableReadyCheck: true,
  // After a failover the address leads to the new master: connect again and send the command once more.
  reconnectOnError: error => (error.message.startsWith('READONLY') ? 2 : false),
  keepAlive: 30_000,
  connectionName: 'reembed',
}

function parseInfo(info: string, where: string): RedisInfo {
  const facts = new Map(info.split('\r\n').map(line => line.split(':', 2) as [string, string]))
  const version = facts.get('redis_version') ?? '0'
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
    throw new ReembedError(
      'REDIS_MISCONFIGURED',
      `Redis at ${where} is version ${version}: BullMQ needs ${OLDEST.join('.')} or newer`,
    )
  }
  // Dragonfly calls its one process a cluster where it emulates one, as BullMQ recommends there.
  if (facts.get('redis_mode') === 'cluster' && !facts.has('dragonfly_version')) {
    throw new ReembedError(
      'REDIS_MISCONFIGURED',
      `Redis at ${where} is a Cluster, of which reembed would use one node, since its keys lie in one slot: give a Redis with cluster mode off, or the primary of a Sentinel`,
    )
  }
  return {
    version: facts.has('valkey_version') ? `valkey ${facts.get('valkey_version')}` : version,
    evictionPolicy: facts.get('maxmemory_policy') ?? 'unknown',
    usedBytes: Number(facts.get('used_memory') ?? 0),
    maxBytes: Number(facts.get('maxmemory') ?? 0),
  }
}
