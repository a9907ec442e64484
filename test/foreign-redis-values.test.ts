// Values of other programs in the keys of a queue.

import { startRedis } from '@reembed/local'
import {
  type ConsumerEvent,
  consume,
  type Job,
  jobId,
  openBudget,
  openLimitCoordinator,
  openQueue,
  openQueueReader,
  queueKey,
  runKey,
} from '@reembed/queue'
import { idOf, LIMITS } from '@reembed/shared'
import { Redis } from 'ioredis'
import { expect, test, vi } from 'vitest'

const OF = { output: '/out', run: 'q'.repeat(26) }
const jobs = (count: number): Job[] => Array.from({ length: count }, (_, shard) => ({ ...OF, shard }))
const WAIT = { timeout: 30_000, interval: 20 }
const HUGE = LIMITS.redisReplyBytes + 1

function connect(url: string): Redis & Disposable {
  const client = new Redis(url)
  return Object.assign(client, { [Symbol.dispose]: () => client.disconnect() })
}

const entry = (atMs: unknown, worker = 'w'): string =>
  JSON.stringify({ worker, endpoint: 'ok', outputs: ['/out'], atMs })

/** Sets a field to so many bytes, without sending them. */
const setLong = (client: Redis, key: string, field: string, bytes = HUGE): Promise<unknown> =>
  client.eval(`redis.call('HSET', KEYS[1], ARGV[1], string.rep('x', ARGV[2]))`, 1, key, field, bytes)

test('heartbeats that another program wrote are no workers, and Redis counts as reachable', async () => {
  await using redis = await startRedis()
  await using queue = await openQueue(redis.url)
  using client = connect(redis.url)
  const key = queueKey('workers')
  await client.hset(key, {
    ...Object.fromEntries(
      ['null', '[]', '{', '""', '7', entry('now'), entry(null)].map((v, i) => [`bad${i}`, v]),
    ),
    long: entry(Date.now(), 'x'.repeat(100_000)),
    activity: JSON.stringify({ ...JSON.parse(entry(Date.now())), activity: { jobs: 'many' } }),
    good: entry(Date.now()),
  })
  await setLong(client, key, 'huge')
  expect(await queue.workers()).toMatchObject([{ worker: 'w' }])
  await client.del(key)
  await client.set(key, 'a string')
  expect(await queue.workers()).toEqual([])
  expect(await queue.counts()).toMatchObject({ waiting: 0 })
})

test('a job that is too large is removed, the others are done, and a sweep can enqueue its shard again', async () => {
  await using redis = await startRedis()
  await using queue = await openQueue(redis.url)
  using client = connect(redis.url)
  const [first, second, third, fourth] = jobs(4)
  if (!first || !second || !third || !fourth) throw new Error('no jobs')
  await queue.add(jobs(4))
  await setLong(client, queueKey(jobId(first)), 'data')
  await client.del(queueKey(jobId(second)))
  await client.set(queueKey(jobId(second)), 'a string')
  for (let i = 0; i < 65; i += 1) await client.hset(queueKey(jobId(third)), `f${i}`, '')
  await client.zadd(queueKey('ready'), 0, 'x'.repeat(300))
  await client.lpush(queueKey('wait'), 'x'.repeat(300))

  const events: ConsumerEvent[] = []
  const idle = Promise.withResolvers<void>()
  const done: number[] = []
  const handle = async ({ shard }: Job): Promise<void> => void done.push(shard)
  await using _consumer = await consume(redis.url, handle, {
    concurrency: 1,
    outputs: ['/out'],
    onEvent: event => {
      events.push(event)
      if (event.kind === 'idle') idle.resolve()
    },
  })
  await idle.promise
  expect(done).toEqual([3])
  const removed = events.flatMap(event => (event.kind === 'removed' ? [event.id] : []))
  expect(removed).toEqual([jobId(first), jobId(second), jobId(third), 'x'.repeat(LIMITS.jobIdBytes)])
  expect(events.filter(({ kind }) => kind === 'redis_error')).toEqual([])
  const again = Promise.withResolvers<void>()
  await expect.poll(() => queue.counts()).toMatchObject({ waiting: 0, active: 0 })
  expect(await queue.add(jobs(3))).toBe(3)
  void expect
    .poll(() => done.length)
    .toBe(4)
    .then(again.resolve, again.reject)
  await again.promise
})

test('a reply beyond the limit fails its command with the key, and the connection opens again', async () => {
  await using redis = await startRedis()
  await using reader = openQueueReader(redis.url)
  using client = connect(redis.url)
  await client.eval(`redis.call('LPUSH', KEYS[1], string.rep('x', ARGV[1]))`, 1, queueKey('active'), HUGE)
  await expect(reader.counts(OF)).rejects.toMatchObject({
    code: 'REDIS_MISCONFIGURED',
    message: expect.stringMatching(
      /reply of Redis at redis:.* to LRANGE \{reembed\}:embed:active has more than 16777216 bytes.*Delete the key/,
    ),
  })
  await client.del(queueKey('active'))
  await vi.waitFor(async () => expect(await reader.counts(OF)).toMatchObject({ active: 0 }), WAIT)
})

test('no value of another program keeps a reader from the others', async () => {
  await using redis = await startRedis()
  await using reader = openQueueReader(redis.url)
  await using queue = await openQueue(redis.url)
  await using budget = openBudget(redis.url)
  await using coordinator = openLimitCoordinator(redis.url, 'http://endpoint')
  using client = connect(redis.url)
  const [job] = jobs(1)
  if (job === undefined) throw new Error('no job')
  await queue.add([job])
  const run = `{reembed}:run:${runKey(OF)}`
  const limit = `{reembed}:limit:${idOf('http://endpoint')}`
  const fields: [key: string, field: string][] = [
    [queueKey('workers'), 'w'],
    [queueKey('planning'), 'p'],
    [queueKey('meta'), 'paused'],
    [queueKey(jobId(job)), 'failedReason'],
    [queueKey(jobId(job)), 'timestamp'],
    [run, 'documents'],
    [`${run}:open`, '7'],
    [limit, 'state'],
    [limit, 'unavailableReason'],
  ]
  for (const [key, field] of fields) await setLong(client, key, field)
  await client.zadd(queueKey('failed'), 0, jobId(job))
  await client.eval(`redis.call('SET', KEYS[1], string.rep('x', ARGV[1]))`, 1, queueKey('data'), HUGE)

  expect(await reader.workers()).toEqual([])
  expect(await reader.planning(OF.output)).toEqual([])
  expect(await reader.depth()).toMatchObject({ jobs: { ready: 1 }, paused: true, oldestWaitingMs: null })
  expect(await reader.failures(OF, 10)).toEqual([{ ...job, reason: '' }])
  expect(await reader.attempts(job)).toMatchObject({ lastError: undefined })
  expect(await reader.progress(OF)).toMatchObject({ documents: 0, openDocuments: 0 })
  expect(await reader.openShards(OF)).toEqual(new Map())
  expect(await queue.settle()).toBe(true)
  const sums = { replies: 0, inputs: 0, refusals: 0, unavailable: 0, queueMs: 0, inferenceMs: 0 }
  const lastCommit = { state: { limit: 7 }, unavailable: null }
  const report = { worker: 'w', hasDemand: true, sums, peakInFlight: 0, lastCommit, canProbe: false }
  expect(await coordinator.report(report)).toMatchObject({ state: { limit: 7 }, unavailable: null })

  await setLong(client, `${run}:budget`, 'epoch')
  const request = { ...OF, worker: 'w', epoch: 'e', heldTokens: 0, requestedTokens: 1 }
  await expect(budget.reserve(request)).rejects.toThrow(/has more than 16777216 bytes/)
})
