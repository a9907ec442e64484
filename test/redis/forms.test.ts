// What each form of a Redis URL answers, and each missing right: a real server for each. An answer
// takes 1.5 s at most, the deadline of a command; the table that the test prints states each.

import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { startRedis } from '@reembed/local'
import { inspectRedis, openQueue, redisAddress, requireRights, withDatabase } from '@reembed/queue'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort, type RedisServer } from '../infra/parts/redis-server.ts'
import { flags, reembed, start, temporaryFolder } from '../parts/cli.ts'
import { createTls, startIn, type TlsFiles } from './servers.ts'

/** With room for a machine that is busy with other tests. */
const LIMIT_MS = 6_000

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let plain: RedisServer
let secret: RedisServer
let secure: RedisServer
let sentinel: RedisServer
let tls: TlsFiles
/** Accepts connections, and never replies. */
const mute = createServer(socket => sockets.add(socket))
const sockets = new Set<Socket>()
beforeAll(async () => {
  folder = await temporaryFolder()
  await once(mute.listen(0, '127.0.0.1'), 'listening')
  ports.mute = (mute.address() as AddressInfo).port
  tls = await createTls(folder.path)
  plain = await startIn(folder.path, 'plain', ['--unixsocket', join(folder.path, 'redis.sock'), '--save', ''])
  secret = await startIn(folder.path, 'secret', ['--requirepass', '50%off@', '--save', ''])
  const port = await freePort()
  secure = await startIn(folder.path, 'secure', [...tls.args, '--tls-port', String(port), '--save', ''])
  ports.secure = port
  const config = join(folder.path, 'sentinel.conf')
  await writeFile(config, `sentinel monitor main 127.0.0.1 ${plain.port} 1`)
  sentinel = await startIn(folder.path, 'sentinel', [config, '--sentinel'])
})
afterAll(async () => {
  for (const socket of sockets) socket.destroy()
  mute.close()
  for (const part of [plain, secret, secure, sentinel, folder]) await part[Symbol.asyncDispose]()
})

const ports = { secure: 0, mute: 0 }
/** Puts the addresses of the servers into a URL. */
const url = (text: string): string =>
  text
    .replace('PLAIN', `127.0.0.1:${plain.port}`)
    .replace('SECRET', `127.0.0.1:${secret.port}`)
    .replace('SECURE', `127.0.0.1:${ports.secure}`)
    .replace('SENTINEL', `127.0.0.1:${sentinel.port}`)
    .replace('FOLDER', folder.path)
    .replace('MUTE', `127.0.0.1:${ports.mute}`)

async function answer(text: string): Promise<{ said: string; ms: number }> {
  const startedMs = performance.now()
  const said = await inspectRedis(url(text)).then(
    ({ version }) => `version ${version}`,
    (error: Error) => error.message,
  )
  return { said, ms: performance.now() - startedMs }
}

test.each([
  ['redis://PLAIN', /^version /],
  ['valkey://PLAIN', /^version /],
  ['redis://PLAIN/15', /^version /],
  ['unix://FOLDER/redis.sock', /^version /],
  ['unix://FOLDER/redis.sock?db=3', /^version /],
  ['redis://:50%25off%40@SECRET', /^version /],
  ['redis://default:50%25off@@SECRET', /^version /],
  ['redis://PLAIN/99', /has no database 99: use a smaller number/],
  ['redis://PLAIN/mydb', /names the database 'mydb': databases of Redis have numbers/],
  ['redis://PLAIN/1/2', /more than a database number/],
  ['redis://:50%off@SECRET', /a '%' that begins no escape: write it as %25/],
  ['redis://SECRET', /refused the user or password/],
  ['redis://:wrong@SECRET', /refused the user or password/],
  ['rediss://SECURE', /certificate of Redis .* is not trusted \(\w+\): set NODE_EXTRA_CA_CERTS/],
  ['redis+cluster://PLAIN', /is no Cluster: use redis:\/\//],
  ['redis+cluster://PLAIN/1', /a Redis Cluster has database 0 only/],
  ['redis+sentinel://PLAIN/main', /is no Sentinel/],
  ['redis+sentinel://PLAIN', /names no primary/],
  ['redis+sentinel://SENTINEL/main', /^version /],
  ['redis://SENTINEL', /is a Sentinel: write redis\+sentinel:\/\//],
  ['redis://PLAIN,PLAIN', /names several servers/],
  ['redis://PLAIN?ssl_cert_reqs=none', /parameters \('\?ssl_cert_reqs…'\), which are not supported/],
  ['redis://host:port', /'host:port' is no host with a port/],
  ['unix://', /names no socket/],
  ['localhost:6379', /cannot read the Redis URL: write it as redis:\/\/host:6379/],
  ['http://PLAIN', /cannot open a Redis by 'http:\/\/'/],
  ['amqp://PLAIN', /cannot open a Redis by 'amqp:\/\/'/],
  ['memcached://PLAIN', /cannot open a Redis by 'memcached:\/\/'/],
])('%s answers within two seconds', async (text, expected) => {
  const { said, ms } = await answer(text)
  expect(said).toMatch(expected)
  expect(said).not.toMatch(/50%|wrong@/)
  expect(ms).toBeLessThan(LIMIT_MS)
  process.stdout.write(`${Math.round(ms)} ms  ${text}  ${said}\n`)
})

describe('a Redis that does not answer', () => {
  const closed = '127.0.0.1:1'
  test.concurrent.each([
    [`redis://${closed}`, /ECONNREFUSED/],
    [`rediss://${closed}`, /ECONNREFUSED/],
    [`redis+cluster://${closed},${closed}`, /ECONNREFUSED/],
    [`redis+sentinel://${closed},${closed}/main`, /ECONNREFUSED/],
    ['unix://FOLDER/none.sock', /ENOENT/],
    ['redis://none.invalid:6379', /ENOTFOUND|EAI_AGAIN/],
    ['redis://MUTE', /no reply within \d+ ms/],
    ['redis+cluster://MUTE', /no reply within/],
    ['redis+sentinel://MUTE/main', /no reply within/],
  ])('%s is an error within two seconds, with its address', async (text, cause) => {
    const { said, ms } = await answer(text)
    expect(said).toMatch(/no Redis answers at (redis|unix)\S+ \(/)
    expect(said).toMatch(cause)
    expect(ms).toBeLessThan(LIMIT_MS)
    process.stdout.write(`${Math.round(ms)} ms  ${text}  ${said}\n`)
  })

  test('a worker waits for it, and warns at once with its address', async () => {
    const port = await freePort()
    const password = 'secret'
    const target = `redis://:${password}@127.0.0.1:${port}`
    const args = flags({
      output: join(folder.path, 'vectors'),
      endpoint: 'http://127.0.0.1:1',
      redis: target,
    })
    const worker = start(['worker', ...args])
    await worker.line(/waiting for Redis: no Redis answers at redis:\/\/127\.0\.0\.1:\d+ \(ECONNREFUSED\)/)
    await using _ = await startRedis({ port, password })
    await worker.line(/worker started/)
    worker.child.kill('SIGTERM')
    await worker.finished
  })
})

test('a Cluster without all slots is waited for, and unreachable after the deadline', async () => {
  const announced = ['--cluster-announce-ip', '127.0.0.1']
  const settings = ['--cluster-enabled', 'yes', ...announced, '--save', '']
  await using node = await startIn(folder.path, 'partial', settings)
  const target = `redis+cluster://127.0.0.1:${node.port}`
  const operator = new Redis(node.port)
  try {
    await operator.call('CLUSTER', 'ADDSLOTS', 0)
    await expect(inspectRedis(target, { timeoutMs: 300 })).rejects.toThrow(
      /no Redis answers at .*\(the connection ended before the server was ready\)/,
    )
    const waiting = inspectRedis(target, { timeoutMs: 20_000 })
    for (let slot = 1; slot < 16_384; slot += 4_096)
      await operator.call('CLUSTER', 'ADDSLOTSRANGE', slot, Math.min(slot + 4_095, 16_383))
    await expect(waiting).resolves.toMatchObject({ version: expect.stringMatching(/^\d/) })
  } finally {
    operator.disconnect()
  }
})

test('a Redis that gets or misses TLS unexpectedly is unreachable, with the scheme to try', async () => {
  const short = { timeoutMs: 300 }
  await expect(inspectRedis(url('redis://SECURE'), short)).rejects.toThrow(
    /ECONNRESET.*rediss:\/\/ if it requires TLS/,
  )
  await expect(inspectRedis(url('rediss://PLAIN'), short)).rejects.toThrow(/redis:\/\/ if it has no TLS/)
})

test('the database of the URL is used, not database 0', async () => {
  await using queue = await openQueue(url('redis://PLAIN/7'))
  await queue.add([{ output: '/out', run: 'r'.repeat(26), shard: 0 }])
  const client = new Redis(plain.port)
  expect([await client.dbsize(), await client.select(7), await client.dbsize()]).toEqual([
    0,
    'OK',
    expect.any(Number),
  ])
  expect(await client.keys('*')).toContain('{reembed}:embed:ready')
  client.disconnect()
})

test.each([
  ['redis://host', '3', 'redis://host/3'],
  ['rediss://user:p%40ss@host:1/', '3', 'rediss://user:p%40ss@host:1/3'],
  ['redis+sentinel://a:1,b:2/3', '3', 'redis+sentinel://a:1,b:2/3/3'],
  ['redis+sentinel://a:1,b:2/main/3', '3', 'redis+sentinel://a:1,b:2/main/3'],
  ['unix:///run/redis.sock', '3', 'unix:///run/redis.sock?db=3'],
  ['redis+cluster://a:1', '0', 'redis+cluster://a:1'],
  ['redis://host', '0', 'redis://host'],
])('%s in the database %s that is configured apart is %s', (given, database, whole) => {
  expect(withDatabase(given, database)).toBe(whole)
})

test.each([
  ['redis://host/1', '3', /names database 1, but the autoscaler reads database 3/],
  ['redis+sentinel://a:1/main/0', '3', /names database 0, but the autoscaler reads database 3/],
  ['unix:///run/redis.sock?db=1', '3', /names database 1/],
  ['redis+cluster://a:1', '3', /is a Redis Cluster, which has database 0 only, but database 3 is configured/],
  ['redis://host', 'x', /databases of Redis have numbers/],
])('%s with the database %s is refused', (given, database, message) => {
  expect(() => withDatabase(given, database)).toThrow(message)
})

test('a private CA is trusted by NODE_EXTRA_CA_CERTS', async () => {
  const checked = await reembed(['doctor', ...flags({ redis: url('rediss://SECURE') })], {
    NODE_EXTRA_CA_CERTS: tls.ca,
  })
  expect(checked.stdout + checked.stderr).toMatch(/ok {4}redis .* every command of a worker is permitted/)
})

test('the address for messages holds neither user nor password', () => {
  expect(redisAddress('rediss+sentinel://user:p%40ss@a:1,b:2/main/3')).toBe(
    'rediss+sentinel://a:1,b:2/main/3',
  )
})

describe('a user without a right', () => {
  test.each([
    'info',
    'evalsha',
    'hrandfield',
    'hstrlen',
    'bzpopmin',
    'zrangebylex',
    'multi',
    'xadd',
    'hincrby',
    'pexpire',
    'del',
  ])('%s: the check names it within two seconds', async command => {
    const admin = new Redis(plain.port)
    const name = `no-${command}`
    await admin.call('ACL', 'SETUSER', name, 'on', '>pass', '~*', '&*', '+@all', `-${command}`)
    admin.disconnect()
    const startedMs = performance.now()
    const target = url(`redis://${name}:pass@PLAIN`)
    const error = await inspectRedis(target).then(
      () => requireRights(target).catch(error => error),
      error => error,
    )
    const ms = performance.now() - startedMs
    expect(error).toMatchObject({ code: 'REDIS_MISCONFIGURED', message: expect.stringContaining(command) })
    expect(error.message).toContain('ACL SETUSER')
    expect(ms).toBeLessThan(LIMIT_MS)
    process.stdout.write(`${Math.round(ms)} ms  without ${command}  ${error.message}\n`)
  })

  test('a user without access to our keys is refused, with the pattern to grant', async () => {
    const admin = new Redis(plain.port)
    await admin.call('ACL', 'SETUSER', 'elsewhere', 'on', '>pass', '~other:*', '&*', '+@all')
    admin.disconnect()
    await expect(requireRights(url('redis://elsewhere:pass@PLAIN'))).rejects.toMatchObject({
      code: 'REDIS_MISCONFIGURED',
      message: expect.stringMatching(/lacks rights that workers need: access to its keys.*~\{reembed\}:\*/),
    })
  })
})

test('a server that is no Redis is named as that at once, and a name that does not exist within seconds', async () => {
  const http = createServer(socket => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  try {
    const { port } = http.address() as AddressInfo
    const { said, ms } = await answer(`redis://127.0.0.1:${port}`)
    expect(said).toMatch(/does not speak the protocol of Redis: correct host and port/)
    expect(ms).toBeLessThan(LIMIT_MS)
  } finally {
    http.close()
  }
  const unknown = await answer('rediss://:secret@redis.invalid')
  expect(unknown.said).toMatch(/no Redis answers at .* \(ENOTFOUND\)/)
  expect(unknown.ms).toBeLessThan(5_000)
})
