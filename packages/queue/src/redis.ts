// Connections to Redis. Redis holds only hints (the store is authoritative), but a Redis that
// evicts keys or is too old for BullMQ loses jobs silently, so it is checked before use.

import { codeOf, isLoopback, messageOf, ReembedError } from '@reembed/shared'
import { Redis, type RedisOptions } from 'ioredis'
import { QUEUE, requireQueueName } from './names.ts'

/** Properties of a Redis server. */
export interface RedisInfo {
  readonly version: string
  readonly evictionPolicy: string
  readonly usedBytes: number
  readonly maxBytes: number
}

export interface ConnectOptions {
  /** Maximum wait for an unreachable Redis in milliseconds. The default is 10,000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
}

const OLDEST = [6, 2] as const

/**
 * A Redis by its URL, and the queue in it. `insecure` allows one on another machine that has
 * neither password nor TLS.
 */
export type RedisTarget =
  | string
  | {
      readonly url: string
      /** Producers, workers and readers of one queue share jobs; the default is 'embed'. */
      readonly queue?: string | undefined
      readonly insecure?: boolean | undefined
    }

/** The name of the queue of a target. @throws ReembedError USAGE for an invalid name */
export const queueOf = (target: RedisTarget): string =>
  requireQueueName((typeof target === 'string' ? undefined : target.queue) ?? QUEUE)

/**
 * Refuses a Redis on another machine without a password and TLS: every host that reaches it could
 * control workers.
 * @throws ReembedError USAGE that names the alternatives
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

/**
 * Waits until Redis answers, then reads its properties.
 * @throws ReembedError REDIS_UNREACHABLE that names the address, or REDIS_MISCONFIGURED for a wrong
 *   password, an unsupported version or a Cluster
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
          `Redis at ${where} refused the user or password: correct them in the URL`,
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

/**
 * @throws ReembedError REDIS_MISCONFIGURED if Redis may evict keys to free memory, because that
 * loses jobs
 */
export function requireNoEviction(facts: RedisInfo, url: string): void {
  if (facts.evictionPolicy === 'noeviction') return
  throw new ReembedError(
    'REDIS_MISCONFIGURED',
    `Redis at ${redisAddress(url)} may evict jobs (maxmemory-policy is ${facts.evictionPolicy}): set it to noeviction, for example with \`redis-cli config set maxmemory-policy noeviction\``,
  )
}

/**
 * Opens a connection that reconnects indefinitely. Commands wait while it is disconnected; with
 * `failFast` they fail. The caller must disconnect it.
 */
export function connectRedis(url: string, { failFast = false }: { readonly failFast?: boolean } = {}): Redis {
  return new Redis(url, {
    ...redisOptions,
    ...(failFast && { commandTimeout: 5_000 }),
    maxRetriesPerRequest: failFast ? 0 : null,
    retryStrategy: (times: number) => Math.min(50 * 2 ** times, 2_000),
  })
}

/**
 * Returns the address without user and password, for messages. @throws ReembedError USAGE for an
 * invalid URL
 */
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

/** Options of all connections. */
export const redisOptions: Pick<
  RedisOptions,
  'enableReadyCheck' | 'keepAlive' | 'connectionName' | 'reconnectOnError'
> = {
  enableReadyCheck: true,
  // After a failover the address resolves to the new master: reconnect and resend the command.
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
  // Dragonfly reports cluster mode when it emulates a cluster in one process, which BullMQ
  // recommends.
  if (facts.get('redis_mode') === 'cluster' && !facts.has('dragonfly_version')) {
    throw new ReembedError(
      'REDIS_MISCONFIGURED',
      `Redis at ${where} is a Cluster, and all keys of reembed are in one slot: use a Redis with cluster mode off, or the primary of a Sentinel`,
    )
  }
  return {
    version: facts.has('valkey_version') ? `valkey ${facts.get('valkey_version')}` : version,
    evictionPolicy: facts.get('maxmemory_policy') ?? 'unknown',
    usedBytes: Number(facts.get('used_memory') ?? 0),
    maxBytes: Number(facts.get('maxmemory') ?? 0),
  }
}
