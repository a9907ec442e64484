// Which Redis is used, and whether it may be used. Redis holds only hints (the store is
// authoritative), but a Redis that evicts keys or is too old for BullMQ loses jobs silently, so it
// is checked before use.

import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import {
  codeOf,
  deadlines,
  messageOf,
  openFilesReason,
  ReembedError,
  startWait,
  unlessAborted,
  within,
} from '@reembed/shared'
import type { Cluster, Redis } from 'ioredis'
import { QUEUE, requireQueueName } from './names.ts'
import { openClient } from './redis-client.ts'
import { isOnThisMachine, parseRedisUrl, type RedisAddress } from './redis-url.ts'

/** Properties of a Redis server. */
export interface RedisInfo {
  readonly version: string
  readonly evictionPolicy: string
  readonly usedBytes: number
  readonly maxBytes: number
}

export interface ConnectOptions {
  /** Maximum wait for an unreachable Redis in milliseconds; that of `deadlines` if not given. */
  readonly timeoutMs?: number
  /** Called once, when Redis does not answer at first and is waited for. */
  readonly onWait?: ((error: ReembedError) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

const OLDEST = [6, 2] as const
const CONNECT_MS = 300

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
  const address = parseRedisUrl(url)
  if (insecure || address.tls || address.password !== undefined || isOnThisMachine(address)) return url
  throw new ReembedError(
    'USAGE',
    `${address.shown} is on another machine and has neither password nor TLS, so any client that reaches it controls the workers: ` +
      'use redis://:password@host or rediss://host, or allow an insecure Redis in a private network',
    { option: 'redis.insecure' },
  )
}

/**
 * Waits until Redis answers, then reads its properties. Only a Redis that does not answer is worth
 * a wait; everything else fails at once.
 * @throws ReembedError REDIS_UNREACHABLE that names the address, or REDIS_MISCONFIGURED for a wrong
 *   password, a missing right, an untrusted certificate, an unknown database, an unsupported
 *   version, or a URL of another kind
 */
export async function inspectRedis(
  url: string,
  { timeoutMs = deadlines().redis.answerMs, onWait, signal }: ConnectOptions = {},
): Promise<RedisInfo> {
  const address = parseRedisUrl(url)
  const deadline = Date.now() + timeoutMs
  const { answerMs } = deadlines().redis
  using waiting = startWait(`Redis at ${address.shown}`)
  let waits = false
  for (let wait = 100; ; wait = Math.min(2 * wait, 1_000)) {
    signal?.throwIfAborted()
    const attemptMs = Math.max(500, Math.min(answerMs, deadline - Date.now()))
    const client = openClient(url, {
      lazyConnect: true,
      connectTimeout: attemptMs,
      retryStrategy: () => null,
    })
    let last: unknown
    client.on('error', error => {
      last = error
    })
    try {
      const info = await unlessEnded(
        client,
        attemptMs,
        client.connect().then(() => readInfo(client, address)),
        signal,
      )
      waiting.answered()
      return info
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof ReembedError) throw error
      const known = causeOf(codeOf(error) || /^[A-Z]+ /.test(messageOf(error)) ? error : (last ?? error))
      const cause = codeOf(known) === undefined ? ((await connectionError(address)) ?? known) : known
      const misconfigured = misconfiguration(cause, address)
      if (misconfigured !== undefined)
        throw new ReembedError('REDIS_MISCONFIGURED', misconfigured, { option: 'redis', cause })
      const unreachable = new ReembedError(
        'REDIS_UNREACHABLE',
        `no Redis answers at ${address.shown} (${codeOf(cause) ?? messageOf(cause)}): start it, or correct the URL${tlsHint(cause, address)}`,
        { retry: 'requeue', option: 'redis', cause },
      )
      if (Date.now() + wait >= deadline) throw unreachable
      if (!waits) onWait?.(unreachable)
      waits = true
    } finally {
      client.disconnect()
    }
    await unlessAborted(signal, sleep(wait))
  }
}

/**
 * The outcome of `attempt`. Rejects when the connection ends, after `ms` or by the signal, because
 * `attempt` may then never settle: ioredis settles `connect` neither for a Cluster in the middle of
 * a failover (cluster_state:fail) nor for a server that accepts connections without a reply.
 */
async function unlessEnded<T>(
  client: Redis,
  ms: number,
  attempt: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  const failed = Promise.withResolvers<never>()
  const end = (): void => failed.reject(new Error('the connection ended before the server was ready'))
  client.once('end', end)
  try {
    const first = Promise.race([attempt, failed.promise])
    return await within(
      ms,
      unlessAborted(signal, first),
      () => new Error(`no reply within ${Math.round(ms)} ms`),
    )
  } finally {
    client.off('end', end)
  }
}

/**
 * The error of a connection to the first node of a Cluster or of the Sentinels; undefined if it
 * connects. Of these, ioredis reports only that the connection is closed.
 */
async function connectionError({ kind, nodes: [node], tls }: RedisAddress): Promise<unknown> {
  if (kind === 'server' || node === undefined) return undefined
  const socket = tls ? connectTls(node) : connect(node)
  try {
    await once(socket, tls ? 'secureConnect' : 'connect', { signal: AbortSignal.timeout(CONNECT_MS) })
    return undefined
  } catch (error) {
    return codeOf(error) === 'ABORT_ERR' ? undefined : error
  } finally {
    socket.destroy()
  }
}

/**
 * A server that gets or misses TLS unexpectedly does not say so: it waits, or resets the
 * connection.
 */
function tlsHint(error: unknown, { tls }: RedisAddress): string {
  if (tls) return ' (redis:// if it has no TLS)'
  return codeOf(error) === 'ECONNRESET' ? ' (rediss:// if it requires TLS)' : ''
}

/** A Cluster reports that all nodes failed; the reason is that of the last node. */
function causeOf(error: unknown): unknown {
  const { lastNodeError } = Object(error) as { lastNodeError?: unknown }
  return lastNodeError ?? error
}

const UNTRUSTED = /SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)|CERT_UNTRUSTED|CERT_HAS_EXPIRED/

/** What is wrong permanently; undefined for an error that may be transient. */
function misconfiguration(error: unknown, { shown, database, primary }: RedisAddress): string | undefined {
  const message = `${codeOf(error) ?? ''} ${messageOf(error)}`
  const openFiles = openFilesReason(error)
  if (openFiles) return `cannot connect to Redis at ${shown}: ${openFiles}`
  const command = missingCommand(error)
  if (command !== undefined)
    return `the user of Redis at ${shown} may not run '${command}': grant it with ACL SETUSER`
  if (/WRONGPASS|NOAUTH|invalid password/.test(message))
    return `Redis at ${shown} refused the user or password: correct them in the URL`
  if (/DB index is out of range/.test(message))
    return `Redis at ${shown} has no database ${database}: use a smaller number, or raise its setting 'databases'`
  if (UNTRUSTED.test(message))
    return `the certificate of Redis at ${shown} is not trusted (${codeOf(error)}): set NODE_EXTRA_CA_CERTS to the file of its CA`
  if (/ERR_TLS_CERT_ALTNAME_INVALID/.test(message))
    return `the certificate of Redis at ${shown} is for another name: use the host name of the certificate`
  if (/ERR_SSL_WRONG_VERSION_NUMBER|ERR_SSL_PACKET_LENGTH_TOO_LONG|EPROTO/.test(message))
    return `Redis at ${shown} does not answer with TLS: use redis:// instead of rediss://`
  if (/Unknown RESP type|Protocol error, got/.test(message))
    return `the server at ${shown} does not speak the protocol of Redis: correct host and port`
  if (/cluster support disabled/i.test(message))
    return `Redis at ${shown} is no Cluster: use redis:// instead of redis+cluster://`
  if (/unknown command.*sentinel/i.test(message))
    return `${shown} is no Sentinel: use redis://, or its port 26379`
  if (
    /Sentinel.*(unreachable|no such master)/i.test(message) &&
    /No such master|IDONTKNOW|ERR /i.test(message)
  )
    return `the Sentinels at ${shown} know no primary '${primary}': correct the name in the URL`
  if (/EACCES/.test(message))
    return `this process may not open the socket ${shown}: change its permissions (unixsocketperm)`
  return undefined
}

/** The command that an ACL does not permit; undefined for another error. */
export function missingCommand(error: unknown): string | undefined {
  const message = messageOf(error)
  if (!/NOPERM|ACL failure/.test(message)) return undefined
  return (
    /'([^']+)' command/.exec(message)?.[1] ??
    (/keys?|channels?/.test(message) ? 'access to its keys' : 'a command')
  )
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
 * Returns the address without user and password, for messages. @throws ReembedError USAGE for an
 * invalid URL
 */
export const redisAddress = (url: string): string => parseRedisUrl(url).shown

/** Reads the properties of a server, or of the primaries of a Cluster: the strictest of them. */
async function readInfo(client: Redis, address: RedisAddress): Promise<RedisInfo> {
  if (address.kind !== 'cluster') {
    // ioredis ignores a refused SELECT and continues in database 0.
    if (address.database > 0) await client.select(address.database)
    return parseInfo(await client.info(), address)
  }
  const primaries = (client as unknown as Cluster).nodes('master')
  const infos = await Promise.all(primaries.map(async node => parseInfo(await node.info(), address)))
  const [first] = infos
  if (first === undefined) throw new Error('the Cluster has no primary')
  return infos.find(({ evictionPolicy }) => evictionPolicy !== 'noeviction') ?? first
}

function parseInfo(info: string, { shown: where, kind }: RedisAddress): RedisInfo {
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
  const isCluster = facts.get('redis_mode') === 'cluster' && !facts.has('dragonfly_version')
  if (isCluster && kind !== 'cluster') {
    throw new ReembedError(
      'REDIS_MISCONFIGURED',
      `Redis at ${where} is a node of a Cluster: write ${where.replace(/^([a-z]+)/, '$1+cluster').replace(/\/\d*$/, '')}`,
      { option: 'redis' },
    )
  }
  if (facts.get('redis_mode') === 'sentinel') {
    throw new ReembedError(
      'REDIS_MISCONFIGURED',
      `${where} is a Sentinel: write redis+sentinel://<host>:26379/<name of the primary>`,
      { option: 'redis' },
    )
  }
  return {
    version: facts.has('valkey_version') ? `valkey ${facts.get('valkey_version')}` : version,
    evictionPolicy: facts.get('maxmemory_policy') ?? 'unknown',
    usedBytes: Number(facts.get('used_memory') ?? 0),
    maxBytes: Number(facts.get('maxmemory') ?? 0),
  }
}
