// Connections to a server, to the primary behind Sentinels, or to a Cluster. A Cluster has the same
// commands as one server, because all keys of reembed are in one slot.

import { deadlines } from '@reembed/shared'
import { Cluster, Redis } from 'ioredis'
import { parseRedisUrl, type RedisAddress } from './redis-url.ts'
import { boundReplies } from './reply-limit.ts'

/** Settings of a connection, for each kind of Redis alike. */
export interface ClientOptions {
  readonly lazyConnect?: boolean
  readonly connectTimeout?: number
  readonly commandTimeout?: number
  readonly maxRetriesPerRequest?: number | null
  readonly enableOfflineQueue?: boolean
  /** Milliseconds until the next connection; null ends the attempts. */
  readonly retryStrategy?: (times: number) => number | null
  readonly scripts?: Record<string, { readonly lua: string; readonly numberOfKeys: number }>
}

/** Longer than a node needs to answer, shorter than a user waits for an error. */
const SLOTS_MS = 1_500
/**
 * Until a Cluster has a new primary, each attempt of a command ends at once (MOVED, CLUSTERDOWN, or
 * a closed connection). ioredis ends a command after 16 attempts, sooner than a failover ends.
 */
const ATTEMPT_MS = 100
/** The attempts end before the call, so that its error is what the Cluster answered. */
const attempts = (callMs: number): number => Math.max(16, Math.floor((0.9 * callMs) / ATTEMPT_MS))

/**
 * Opens a connection that reconnects indefinitely. Commands wait while it is disconnected; with
 * `failFast` they fail. The caller must disconnect it.
 */
export const connectRedis = (
  url: string,
  { failFast = false }: { readonly failFast?: boolean } = {},
): Redis =>
  openClient(url, {
    connectTimeout: deadlines().redis.connectMs,
    ...(failFast && { commandTimeout: deadlines().redis.replyMs }),
    maxRetriesPerRequest: failFast ? 0 : null,
    retryStrategy: times => Math.min(50 * 2 ** times, 2_000),
  })

/**
 * Opens a connection, whose replies are bounded. @throws ReembedError USAGE for an invalid URL
 */
export function openClient(url: string, options: ClientOptions): Redis {
  const address = parseRedisUrl(url)
  const client = boundReplies(clientOf(address, options), address.shown)
  // Its failures are events of the client.
  if (address.kind === 'sentinel' && !options.lazyConnect) client.connect().catch(() => {})
  return client
}

function clientOf(
  { kind, nodes, socket, primary, username, password, database: db, tls }: RedisAddress,
  { scripts, ...options }: ClientOptions,
): Redis {
  const common = {
    enableReadyCheck: true,
    // After a failover the address resolves to the new primary: reconnect and resend the command.
    reconnectOnError: (error: Error) => (error.message.startsWith('READONLY') ? 2 : false),
    keepAlive: 30_000,
    connectionName: 'reembed',
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls && { tls: {} }),
  } as const
  const script = scripts && { scripts }
  if (kind === 'cluster') {
    const { lazyConnect, enableOfflineQueue, retryStrategy, ...perNode } = options
    return new Cluster([...nodes], {
      redisOptions: { ...common, ...perNode },
      slotsRefreshTimeout: SLOTS_MS,
      ...(options.maxRetriesPerRequest === null && {
        maxRedirections: attempts(deadlines().redis.callMs),
      }),
      retryDelayOnMoved: ATTEMPT_MS,
      retryDelayOnClusterDown: ATTEMPT_MS,
      retryDelayOnFailover: ATTEMPT_MS,
      ...script,
      ...(lazyConnect !== undefined && { lazyConnect }),
      ...(enableOfflineQueue !== undefined && { enableOfflineQueue }),
      ...(retryStrategy && { clusterRetryStrategy: retryStrategy }),
      // A certificate is for the name of a node, not for its address.
      ...(tls && {
        dnsLookup: (host: string, found: (error: null, host: string) => void) => found(null, host),
      }),
    }) as unknown as Redis
  }
  if (kind === 'sentinel') {
    return new Redis({
      ...common,
      ...options,
      ...script,
      db,
      sentinels: [...nodes],
      name: primary ?? '',
      // Its connection to a Sentinel must be bounded before it opens: `openClient` connects.
      lazyConnect: true,
      // A Sentinel that accepts connections without a reply must not hide the next one.
      sentinelCommandTimeout: deadlines().redis.replyMs,
      ...(username !== undefined && { sentinelUsername: username }),
      ...(password !== undefined && { sentinelPassword: password }),
      ...(tls && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
      ...(options.retryStrategy && { sentinelRetryStrategy: options.retryStrategy }),
    })
  }
  const [node] = nodes
  return new Redis({
    ...common,
    ...options,
    ...script,
    db,
    ...(socket === undefined ? node : { path: socket }),
  })
}
