// Real Redis servers in every form that people run: one server with settings, a Cluster of six
// nodes, and a primary with a replica behind three Sentinels.

import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { expect } from 'vitest'
import { freePort, type RedisServer, startRedisServer } from '../infra/parts/redis-server.ts'

const run = promisify(execFile)

/** Starts a server in a folder of its own below `folder`. */
export async function startIn(folder: string, name: string, args: readonly string[]): Promise<RedisServer> {
  await mkdir(join(folder, name))
  return startRedisServer(join(folder, name), args)
}

export interface TlsFiles {
  readonly ca: string
  readonly args: readonly string[]
}

/** A CA of its own and a certificate for localhost and 127.0.0.1. */
export async function createTls(folder: string): Promise<TlsFiles> {
  const path = (name: string): string => join(folder, name)
  const openssl = (...args: string[]) => run('openssl', args)
  await openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=test CA',
    '-keyout', path('ca.key'), '-out', path('ca.crt')) // biome-ignore format: one command
  await openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost',
    '-keyout', path('redis.key'), '-out', path('redis.csr')) // biome-ignore format: one command
  await writeFile(path('names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1')
  await openssl('x509', '-req', '-in', path('redis.csr'), '-CA', path('ca.crt'), '-CAkey', path('ca.key'),
    '-CAcreateserial', '-days', '2', '-extfile', path('names'), '-out', path('redis.crt')) // biome-ignore format: one command
  return {
    ca: path('ca.crt'),
    args: [
      ...['--tls-cert-file', path('redis.crt'), '--tls-key-file', path('redis.key')],
      ...['--tls-ca-cert-file', path('ca.crt'), '--tls-auth-clients', 'no'],
    ],
  }
}

export interface RedisFleet extends AsyncDisposable {
  readonly url: string
  /** `host:port`, separated by commas: the nodes of the Cluster, or the Sentinels. */
  readonly addresses: string
  /** Adds a user to every server that holds keys, by a line of an ACL file. */
  addUser(line: string): Promise<void>
  /** Kills the server that holds our keys, and resolves when another one has its place. */
  failover(): Promise<void>
  /** FLUSHALL on every primary. */
  flush(): Promise<void>
}

const addUserTo = async (clients: readonly Redis[], line: string): Promise<void> => {
  const [, name = '', ...rules] = line.trim().split(' ')
  for (const client of clients) await client.acl('SETUSER', name, ...rules)
}

const fast = { retryStrategy: () => 50, maxRetriesPerRequest: null } as const

/** Three primaries, each with a replica. */
export async function startCluster(folder: string): Promise<RedisFleet> {
  await using stack = new AsyncDisposableStack()
  const settings = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1500', '--appendonly', 'no']
  const nodes: RedisServer[] = []
  for (let i = 0; i < 6; i++) {
    const own = ['--maxmemory-policy', 'noeviction', '--save', '', '--cluster-replica-validity-factor', '0']
    nodes.push(stack.use(await startIn(folder, `node-${i}`, [...settings, ...own])))
  }
  const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`)
  await run('redis-cli', ['--cluster', 'create', ...hosts, '--cluster-replicas', '1', '--cluster-yes'])
  const clients = nodes.map(({ port }) => new Redis(port, { ...fast }))
  for (const client of clients) client.on('error', () => {})
  stack.defer(() => {
    for (const client of clients) client.disconnect()
  })
  const isPrimary = async (client: Redis): Promise<boolean> =>
    /role:master/.test(await client.info('replication'))
  const slot = await clients[0]?.cluster('KEYSLOT', '{reembed}:embed:wait')
  /** The node that serves our slot, by the view of a node that is alive. */
  const holder = async (view: Redis | undefined): Promise<number> => {
    const ranges = (await view?.call('CLUSTER', 'SLOTS')) as [number, number, [string, number]][]
    return ranges.find(([from, to]) => from <= Number(slot) && Number(slot) <= to)?.[2][1] ?? 0
  }
  await expect
    .poll(async () => (await clients[0]?.cluster('INFO')) ?? '', { timeout: 30_000 })
    .toContain('cluster_state:ok')
  // A replica that does not follow its primary yet cannot take its place.
  for (const client of clients)
    await expect
      .poll(() => client.info('replication'), { timeout: 30_000 })
      .toMatch(/role:master|master_link_status:up/)
  const owned = stack.move()
  return {
    url: `redis+cluster://${hosts.join(',')}`,
    addresses: hosts.join(','),
    addUser: line => addUserTo(clients, line),
    async failover() {
      const port = await holder(clients[0])
      const index = nodes.findIndex(node => node.port === port)
      clients[index]?.disconnect()
      await nodes[index]?.[Symbol.asyncDispose]()
      const view = clients.find((_, i) => i !== index)
      await expect.poll(() => holder(view), { timeout: 60_000 }).not.toBe(port)
    },
    async flush() {
      for (const client of clients)
        if (client.status === 'ready' && (await isPrimary(client))) await client.flushall()
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** A primary with one replica, and three Sentinels. */
export async function startSentinels(folder: string): Promise<RedisFleet> {
  await using stack = new AsyncDisposableStack()
  const settings = ['--maxmemory-policy', 'noeviction', '--save', '', '--appendonly', 'no']
  const primary = stack.use(await startIn(folder, 'primary', settings))
  const following = ['--replicaof', `127.0.0.1 ${primary.port}`]
  const replica = stack.use(await startIn(folder, 'replica', [...settings, ...following]))
  const sentinels: RedisServer[] = []
  for (let i = 0; i < 3; i++) {
    const place = join(folder, `sentinel-${i}`)
    await mkdir(place)
    const config = join(place, 'sentinel.conf')
    await writeFile(
      config,
      [
        `sentinel monitor vectors 127.0.0.1 ${primary.port} 2`,
        'sentinel down-after-milliseconds vectors 1000',
        'sentinel failover-timeout vectors 5000',
      ].join('\n'),
    )
    sentinels.push(stack.use(await startRedisServer(place, [config, '--sentinel'])))
  }
  const asks = sentinels.map(({ port }) => new Redis(port, { ...fast }))
  stack.defer(() => {
    for (const client of asks) client.disconnect()
  })
  const address = async (): Promise<string> =>
    String(await asks[0]?.call('SENTINEL', 'get-master-addr-by-name', 'vectors')).replace('127.0.0.1,', '')
  const known = async (): Promise<string> => String(await asks[0]?.call('SENTINEL', 'master', 'vectors'))
  await expect.poll(known, { timeout: 30_000 }).toMatch(/num-slaves,1,num-other-sentinels,2/)
  const addresses = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')
  const owned = stack.move()
  return {
    url: `redis+sentinel://${addresses}/vectors`,
    addresses,
    async addUser(line) {
      const servers = [primary, replica].map(({ port }) => new Redis(port, { ...fast }))
      try {
        await addUserTo(servers, line)
      } finally {
        for (const server of servers) server.disconnect()
      }
    },
    async failover() {
      await primary[Symbol.asyncDispose]()
      await expect.poll(address, { timeout: 60_000 }).toBe(String(replica.port))
    },
    async flush() {
      const client = new Redis(Number(await address()))
      await client.flushall()
      client.disconnect()
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Settings of a server that speaks TLS only, also with other servers. */
const tlsOnly = ({ args }: TlsFiles, port: number): string[] => [
  ...args,
  ...['--tls-port', String(port), '--tls-replication', 'yes', '--tls-cluster', 'yes'],
]

/** Three primaries with TLS on all connections. */
export async function startTlsCluster(
  folder: string,
  tls: TlsFiles,
): Promise<{ url: string } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const hosts: string[] = []
  for (let i = 0; i < 3; i++) {
    const port = await freePort()
    const settings = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1500', '--save', '']
    stack.use(await startIn(folder, `node-${i}`, [...settings, ...tlsOnly(tls, port)]))
    hosts.push(`127.0.0.1:${port}`)
  }
  const client = ['--tls', '--cacert', tls.ca]
  await run('redis-cli', [...client, '--cluster', 'create', ...hosts, '--cluster-yes'])
  const info = (host: string) => run('redis-cli', [...client, '-u', `rediss://${host}`, 'cluster', 'info'])
  for (const host of hosts)
    await expect
      .poll(async () => (await info(host)).stdout, { timeout: 30_000 })
      .toContain('cluster_state:ok')
  const owned = stack.move()
  return {
    url: `rediss+cluster://${hosts.join(',')}`,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** A primary and a Sentinel with TLS on all connections. */
export async function startTlsSentinel(
  folder: string,
  tls: TlsFiles,
): Promise<{ url: string } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const [port, sentinelPort] = [await freePort(), await freePort()]
  stack.use(await startIn(folder, 'primary', ['--save', '', ...tlsOnly(tls, port)]))
  const place = join(folder, 'sentinel')
  await mkdir(place)
  const config = join(place, 'sentinel.conf')
  await writeFile(config, `sentinel monitor vectors 127.0.0.1 ${port} 1\n`)
  const settings = [config, '--sentinel', ...tlsOnly(tls, sentinelPort)]
  stack.use(await startRedisServer(place, settings))
  const owned = stack.move()
  return {
    url: `rediss+sentinel://127.0.0.1:${sentinelPort}/vectors`,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
