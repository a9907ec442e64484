// What KEDA sees of a real BullMQ queue, and our Redis files in a real redis-server that our
// program works with.

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis } from '@reembed/local'
import { openQueueReader, QUEUE, QUEUE_STATES, queueKey, REDIS_PREFIX } from '@reembed/queue'
import { Queue, QueueKeys, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { documents, flags, reembed, temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { type Counts, formulaOf, readTriggers, sizeOf } from './parts/autoscaler.ts'
import { type Manifest, profiles, readManifests, repository } from './parts/chart.ts'
import { startRedisServer } from './parts/redis-server.ts'

const manifests = await readManifests('keda-redis')
const scaledObject: Manifest = manifests.find(({ kind }) => kind === 'ScaledObject')
const formula = formulaOf(scaledObject)

test('the keys of the exporter and of every ScaledObject are those of the installed BullMQ', async () => {
  const keys = new QueueKeys(REDIS_PREFIX)
  for (const state of [...QUEUE_STATES, 'meta'] as const)
    expect(queueKey(state)).toBe(keys.toKey(QUEUE, state))
  for (const profile of profiles) {
    const manifests = await readManifests(profile)
    const worker = manifests.find(
      ({ kind, metadata }) => kind === 'Deployment' && /-worker$/.test(metadata.name),
    )
    const { env } = worker.spec.template.spec.containers[0]
    const queue = env.find(({ name }: Manifest) => name === 'REEMBED_QUEUE').value
    for (const { kind, spec } of manifests) {
      if (kind !== 'ScaledObject') continue
      for (const { name, type, metadata } of spec.triggers)
        if (type.startsWith('redis')) expect(metadata.listName).toBe(keys.toKey(queue, name))
    }
  }
})

describe('the formula over a queue', () => {
  let server: LocalRedis
  let redis: Redis
  let queue: Queue
  const read = (): Promise<Counts> => readTriggers(redis, scaledObject)

  beforeEach(async () => {
    server = await startRedis()
    redis = new Redis(server.url, { maxRetriesPerRequest: null })
    queue = new Queue(QUEUE, { connection: redis, prefix: REDIS_PREFIX })
  })
  afterEach(async () => {
    await queue.close()
    redis.disconnect()
    await server[Symbol.asyncDispose]()
  })

  test('a trigger reads the size of lists, sorted sets, sets and hashes, 0 of nothing, and fails on the rest', async () => {
    await redis.rpush('list', 'a', 'b')
    await redis.zadd('zset', 1, 'a', 2, 'b', 3, 'c')
    await redis.sadd('set', 'a')
    await redis.hset('hash', { a: 1, b: 2, c: 3, d: 4 })
    await redis.set('string', 'a')
    await redis.xadd('stream', '*', 'a', 'b')
    const sizes = ['list', 'zset', 'set', 'hash', 'nothing'].map(key => sizeOf(redis, key))
    expect(await Promise.all(sizes)).toEqual([2, 3, 1, 4, 0])
    for (const key of ['string', 'stream'])
      await expect(sizeOf(redis, key)).rejects.toThrow(`unsupported key type: ${key}`)
  })

  test('counts jobs in each state, in lists and in sorted sets', async () => {
    expect(await read()).toEqual({ wait: 0, ready: 0, active: 0, delayed: 0 })
    await queue.addBulk(Array.from({ length: 5 }, (_, i) => ({ name: 'j', data: { i } })))
    await redis.zadd(queueKey('ready'), 0, 'a job')
    await queue.add('j', {}, { delay: 3_600_000 })
    await queue.add('j', {}, { delay: 3_600_000 })
    const taker = new Worker(QUEUE, null, { connection: redis, prefix: REDIS_PREFIX })
    await taker.getNextJob('token')
    const counts = await read()
    expect(counts).toEqual({ wait: 4, ready: 1, active: 1, delayed: 2 })
    expect(formula(counts)).toBe(7)
    await taker.close()
    // Our exporter sees the same without a script.
    await using watch = openQueueReader(server.url)
    expect((await watch.depth()).jobs).toMatchObject(counts)
  })

  test('a paused queue keeps its jobs in wait, so KEDA keeps the workers until its ScaledObject is paused', async () => {
    await queue.add('j', {})
    await queue.pause()
    expect(formula(await read())).toBe(1)
    await using watch = openQueueReader(server.url)
    expect((await watch.depth()).paused).toBe(true)
  })

  test('an overdue delayed job that no worker promotes scales the workers up from zero', async () => {
    await queue.add('j', {}, { delay: 1 })
    await expect
      .poll(async () => {
        await using watch = openQueueReader(server.url)
        return (await watch.depth()).overdue
      })
      .toBe(1)
    const counts = await read()
    expect(counts).toEqual({ wait: 0, ready: 0, active: 0, delayed: 1 })
    expect(formula(counts)).toBe(1)
  })

  test('a hundred delayed jobs ask for one worker, not for a fleet: they wait because the endpoint is overloaded', async () => {
    await queue.addBulk(
      Array.from({ length: 100 }, () => ({ name: 'j', data: {}, opts: { delay: 3_600_000 } })),
    )
    expect(formula(await read())).toBe(1)
  })

  test('a job whose worker was killed stays active and calls another one', async () => {
    await queue.add('j', {})
    const killed = new Worker(QUEUE, null, { connection: redis, prefix: REDIS_PREFIX })
    await killed.getNextJob('token')
    expect(await read()).toMatchObject({ wait: 0, active: 1 })
    expect(formula(await read())).toBe(1)
    await killed.close()
  })
})

describe('redis.conf and users.acl', () => {
  /** Our files in a folder, with passwords put in. */
  async function serve(folder: string) {
    await mkdir(join(folder, 'data'))
    const acl = await readFile(join(repository, 'infra/redis/users.acl'), 'utf8')
    await writeFile(
      join(folder, 'users.acl'),
      acl.replace(/@(\w+)_PASSWORD@/g, (_, user: string) => `${user.toLowerCase()}-secret`),
    )
    const conf = join(repository, 'infra/compose/redis.conf')
    return startRedisServer(join(folder, 'data'), [conf, '--aclfile', join(folder, 'users.acl')])
  }
  const as = (user: string, port: number): string => `redis://${user}:${user}-secret@127.0.0.1:${port}`

  test('reembed plans, embeds, exports and publishes with no more rights than users.acl gives', async () => {
    await using place = await temporaryFolder()
    await using server = await serve(place.path)
    await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
    await writeJsonl(join(place.path, 'corpus.jsonl'), documents(300))
    const made = await reembed(
      [
        'run',
        ...flags({
          source: join(place.path, 'corpus.jsonl'),
          output: join(place.path, 'out'),
          'documents-per-shard': '50',
          endpoint: tei.url,
          redis: as('reembed', server.port),
        }),
        '--json',
      ],
      { REEMBED_LOG: 'warn' },
    )
    expect(made.stderr).not.toMatch(/NOPERM/)
    expect(JSON.parse(made.stdout)).toMatchObject({ status: 'published', totals: { rows: 300 } })
    await using watch = openQueueReader(as('exporter', server.port))
    expect((await watch.redis()).evictionPolicy).toBe('noeviction')
    expect((await watch.depth()).jobs.wait).toBe(0)
    expect(await watch.workers()).toEqual([])
    const of = { output: join(place.path, 'out'), run: JSON.parse(made.stdout).run }
    expect(await watch.counts(of)).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 })
    expect(await watch.failures(of, 10)).toEqual([])
    expect(await watch.openShards(of)).toEqual(new Map())
    expect(await watch.attempts({ ...of, shard: 0 })).toBeUndefined()
    expect(await watch.progress(of)).toBeDefined()
    expect(await watch.planning(of.output)).toEqual([])
  })

  test('the settings are those that the queue needs', async () => {
    await using place = await temporaryFolder()
    const conf = join(repository, 'infra/compose/redis.conf')
    await using server = await startRedisServer(place.path, [conf])
    const redis = new Redis(server.port)
    const setting = async (name: string): Promise<unknown> =>
      ((await redis.config('GET', name)) as string[])[1]
    expect(await setting('maxmemory-policy')).toBe('noeviction')
    expect(Number(await setting('maxmemory'))).toBeGreaterThan(0)
    expect(await setting('appendonly')).toBe('yes')
    expect(await setting('hash-max-listpack-value')).toBe('1024')
    redis.disconnect()
  })

  test('each user can do its work and nothing else', async () => {
    await using place = await temporaryFolder()
    await using server = await serve(place.path)
    const client = (user: string): Redis =>
      new Redis(as(user, server.port), { maxRetriesPerRequest: 1, enableReadyCheck: false })
    const [app, exporter, keda] = [client('reembed'), client('exporter'), client('keda')]
    await app.lpush('{reembed}:embed:wait', 'x')
    expect(await readTriggers(keda, scaledObject)).toMatchObject({ wait: 1 })
    await expect(keda.lpush('{reembed}:embed:wait', 'y')).rejects.toThrow(/NOPERM/)
    await expect(keda.eval("return redis.call('DEL', KEYS[1])", 1, '{reembed}:embed:wait')).rejects.toThrow(
      /can't run this command|NOPERM/,
    )
    expect(await exporter.llen('{reembed}:embed:wait')).toBe(1)
    await expect(exporter.del('{reembed}:embed:wait')).rejects.toThrow(/NOPERM/)
    await expect(app.set('another:key', 'x')).rejects.toThrow(/NOPERM/)
    await expect(app.flushall()).rejects.toThrow(/NOPERM/)
    await expect(app.config('SET', 'maxmemory', '1')).rejects.toThrow(/NOPERM/)
    await expect(app.keys('*')).rejects.toThrow(/NOPERM/)
    for (const one of [app, exporter, keda]) one.disconnect()
    const anonymous = new Redis(server.port, { maxRetriesPerRequest: 1 })
    anonymous.on('error', () => {})
    await expect(anonymous.get('{reembed}:x')).rejects.toThrow(/NOAUTH/)
    anonymous.disconnect()
  })

  test('a Redis Cluster is refused before any work, not by a MOVED in the middle of it', async () => {
    await using place = await temporaryFolder()
    await using server = await startRedisServer(place.path, ['--cluster-enabled', 'yes', '--save', ''])
    const node = new Redis(server.port)
    await node.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    await expect.poll(() => node.cluster('INFO'), { timeout: 30_000 }).toContain('cluster_state:ok')
    node.disconnect()
    const { code, stdout } = await reembed(['doctor', '--redis', `redis://127.0.0.1:${server.port}`])
    expect(code).toBe(5)
    expect(stdout).toMatch(/FAIL {2}redis .*is a node of a Cluster: write redis\+cluster:\/\//)
  })

  test('a Redis that may evict is refused before any work, and doctor reports the fix', async () => {
    await using place = await temporaryFolder()
    await using server = await startRedisServer(place.path, [
      '--maxmemory-policy',
      'allkeys-lru',
      '--save',
      '',
    ])
    const url = `redis://127.0.0.1:${server.port}`
    const { code, stdout } = await reembed(['doctor', '--redis', url])
    expect(code).toBe(5)
    expect(stdout).toMatch(/FAIL {2}redis .*maxmemory-policy is allkeys-lru.*set it to noeviction/)
    const worker = await reembed([
      'worker',
      ...flags({ output: place.path, endpoint: 'http://127.0.0.1:1', redis: url }),
    ])
    expect([worker.code, worker.stderr]).toEqual([5, expect.stringMatching(/may evict jobs/)])
  })
})
