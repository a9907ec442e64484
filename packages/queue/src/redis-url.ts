// The URL of a Redis: one server, a Cluster, a primary behind Sentinels, or a socket of this
// machine.
//
//   redis://[user:password@]host[:port][/database]       rediss://, valkey://, valkeys://
//   redis+cluster://[user:password@]host:port,...        rediss+cluster://
//   redis+sentinel://[user:password@]host:port,.../primary[/database]   rediss+sentinel://
//   unix:///run/redis.sock[?db=1]                         with user:password@ before the path
//
// It is parsed here and not by ioredis, which takes an unknown database for 0 and a name for a
// command, and throws on a '%' in a password.

import { isLoopback, ReembedError } from '@reembed/shared'

export interface RedisAddress {
  readonly kind: 'server' | 'cluster' | 'sentinel'
  /** The server, or the first nodes to ask. Empty for a socket. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[]
  readonly socket: string | undefined
  /** The name of the primary, as the Sentinels know it. */
  readonly primary: string | undefined
  readonly tls: boolean
  readonly username: string | undefined
  readonly password: string | undefined
  readonly database: number
  /** Whether the URL states the database. */
  readonly isDatabaseStated: boolean
  /** The URL without user and password, for messages. */
  readonly shown: string
}

const SCHEME = /^(?:(redis|valkey)(s?)(?:\+(cluster|sentinel))?|unix)$/
const SCHEMES =
  'redis://, rediss:// (TLS), valkey://, redis+cluster://, redis+sentinel://, their TLS forms with rediss, and unix://'
const PORT = 6379
const SENTINEL_PORT = 26_379

/** @throws ReembedError USAGE that names the wrong part and never contains the password */
export function parseRedisUrl(url: string): RedisAddress {
  const parts = /^([a-z][a-z0-9+.-]*):\/\/(?:([^/]*)@)?([^/?#@]*)([^?#]*)(?:\?([^#]*))?$/i.exec(url.trim())
  if (parts === null)
    throw wrong(`cannot read the Redis URL: write it as redis://host:6379; ${SCHEMES} are supported`)
  const [, scheme = '', credentials, hosts = '', path = '', query = ''] = parts
  const kinds = SCHEME.exec(scheme.toLowerCase())
  if (kinds === null) throw wrong(`cannot open a Redis by '${scheme}://': use ${SCHEMES}`)
  const kind = (kinds[3] ?? 'server') as RedisAddress['kind']
  const isSocket = kinds[1] === undefined
  const shown = `${scheme}://${hosts}${path}`
  const names = path.split('/').filter(name => name !== '')
  const common = { kind, tls: kinds[2] === 's', ...credentialsOf(credentials, shown), shown }
  if (isSocket) {
    if (path === '') throw wrong(`${shown} names no socket: write unix:///run/redis.sock`)
    const db = dbOf(query, shown)
    const database = databaseOf(db, shown)
    const isDatabaseStated = db !== undefined
    return { ...common, nodes: [], socket: path, primary: undefined, database, isDatabaseStated }
  }
  if (query !== '')
    throw wrong(`${shown} has parameters ('?${nameOf(query)}…'), which are not supported: remove them`)
  const primary = kind === 'sentinel' ? names.shift() : undefined
  if (kind === 'sentinel' && primary === undefined)
    throw wrong(
      `${shown} names no primary: write redis+sentinel://host:26379,host:26379/<name of the primary>`,
    )
  if (names.length > 1) throw wrong(`${shown} has more than a database number behind its host: remove it`)
  const database = databaseOf(names[0], shown)
  if (kind === 'cluster' && database !== 0)
    throw wrong(`${shown} names database ${database}, but a Redis Cluster has database 0 only: remove it`)
  const nodes = hosts.split(',').map(host => nodeOf(host, kind === 'sentinel' ? SENTINEL_PORT : PORT, shown))
  if (kind === 'server' && nodes.length > 1)
    throw wrong(`${shown} names several servers: write redis+cluster:// or redis+sentinel://`)
  return { ...common, nodes, socket: undefined, primary, database, isDatabaseStated: names.length > 0 }
}

/**
 * The URL with the number of a database that is configured apart from it, for example for an
 * autoscaler, which reads that one. @throws ReembedError USAGE when the URL names another database,
 * or a Cluster, which has none
 */
export function withDatabase(url: string, number: string): string {
  const { kind, socket, database, isDatabaseStated, shown } = parseRedisUrl(url)
  const wanted = databaseOf(number, shown)
  if (wanted === database) return url
  if (kind === 'cluster')
    throw wrong(
      `${shown} is a Redis Cluster, which has database 0 only, but database ${wanted} is configured`,
    )
  if (isDatabaseStated)
    throw wrong(
      `The Redis URL names database ${database}, but the autoscaler reads database ${wanted}: give both the same number`,
    )
  return socket === undefined ? `${url.trim().replace(/\/+$/, '')}/${wanted}` : `${url.trim()}?db=${wanted}`
}

/** Whether all addresses are of this machine. */
export const isOnThisMachine = ({ nodes }: RedisAddress): boolean =>
  nodes.every(({ host }) => isLoopback(host))

function nodeOf(text: string, defaultPort: number, shown: string): { host: string; port: number } {
  const [, v6, name, digits] = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::(\d+))?$/i.exec(text) ?? []
  const host = v6 ?? name
  const port = digits === undefined ? defaultPort : Number(digits)
  if (host !== undefined && port > 0 && port < 65_536) return { host, port }
  throw wrong(`${shown}: '${text}' is no host with a port: write host:${defaultPort}`)
}

function databaseOf(text: string | undefined, shown: string): number {
  if (text === undefined) return 0
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw wrong(`${shown} names the database '${text}': databases of Redis have numbers, for example /0`)
}

const nameOf = (query: string): string => query.split(/[=&]/, 1)[0] ?? ''

function dbOf(query: string, shown: string): string | undefined {
  if (query === '') return undefined
  const found = /^db=([^&]*)$/.exec(query)
  if (found) return found[1]
  throw wrong(`${shown} has the parameter '${nameOf(query)}': a socket takes only ?db=<number>`)
}

function credentialsOf(text: string | undefined, shown: string): Pick<RedisAddress, 'username' | 'password'> {
  if (text === undefined) return { username: undefined, password: undefined }
  const colon = text.indexOf(':')
  // RFC 3986: text without a colon is a user. As a password it would pass `secureUrlOf`, although a
  // Redis without a password accepts it.
  const [user, secret] = colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)]
  return { username: decoded(user, shown) || undefined, password: decoded(secret, shown) || undefined }
}

function decoded(text: string, shown: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw wrong(`the user or password of ${shown} contains a '%' that begins no escape: write it as %25`)
  }
}

const wrong = (message: string): ReembedError => new ReembedError('USAGE', message, { option: 'redis' })
