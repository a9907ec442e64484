// The queue on a real Redis: what happens to a job for each way that its work can end.

import { type LocalRedis, startRedis } from '@reembed/local'
import {
  type Consumer,
  type ConsumerEvent,
  consume,
  type Job,
  type JobContext,
  openQueue,
  type Queue,
} from '@reembed/queue'
import { ReembedError } from '@reembed/shared'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startHeldTcp } from './parts/tcp.ts'

const RUN = 'q'.repeat(26)
const jobs = (count: number): Job[] =>
  Array.from({ length: count }, (_, shard) => ({ output: '/out', run: RUN, shard }))

let redis: LocalRedis
let queue: Queue
let consumers: Consumer[]

beforeEach(async () => {
  consumers = []
  redis = await startRedis()
  queue = await openQueue(redis.url)
})
afterEach(async () => {
  for (const part of [...consumers, queue, redis]) await part[Symbol.asyncDispose]()
})

/** Consumes with `handle` and collects the events; `until` resolves once one fits. */
async function consuming(
  handle: (job: Job, context: JobContext) => Promise<void>,
  { concurrency = 2, url = redis.url } = {},
) {
  const events: ConsumerEvent[] = []
  const waiting = new Set<() => void>()
  const consumer = await consume(url, handle, {
    concurrency,
    onEvent: event => {
      events.push(event)
      for (const look of waiting) look()
    },
  })
  consumers.push(consumer)
  const until = (fits: (event: ConsumerEvent) => boolean): Promise<void> =>
    new Promise(resolve => {
      const look = (): void => {
        if (!events.some(fits)) return
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
      look()
    })
  return { consumer, events, until }
}

test('each job is handled once however often and from wherever it is added', async () => {
  const other = await openQueue(redis.url)
  await Promise.all([queue.add(jobs(50)), other.add(jobs(50)), queue.add(jobs(50))])
  await other[Symbol.asyncDispose]()
  const seen: number[] = []
  const { until } = await consuming(async ({ shard }) => void seen.push(shard))
  await until(() => seen.length >= 50)
  await until(event => event.kind === 'idle')
  expect(seen.toSorted((a, b) => a - b)).toEqual(jobs(50).map(({ shard }) => shard))
  await expect.poll(() => queue.counts()).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 })
})

test('a worker is idle after its last job, also when it fetched that job while another fetch found none', async () => {
  await using held = await startHeldTcp(Number(new URL(redis.url).port))
  const patient = { timeout: 60_000 }
  const finish = jobs(2).map(() => Promise.withResolvers<void>())
  const { consumer, until, events } = await consuming(async ({ shard }) => finish[shard]?.promise, {
    url: `redis://127.0.0.1:${held.port}`,
  })
  await queue.add(jobs(1))
  await until(event => event.kind === 'started')
  // The other slot of the worker waits for a job, and will not poll soon by itself.
  const admin = new Redis(redis.url)
  await expect.poll(() => admin.client('LIST'), patient).toMatch(/ idle=[01] flags=b /)
  held.hold('bzpopmin')
  // Now it gets one, then the first one ends and gets none, and the worker gets both results at
  // once.
  await queue.add(jobs(2))
  await expect.poll(() => queue.counts(), patient).toMatchObject({ waiting: 0, active: 2 })
  finish[0]?.resolve()
  await expect.poll(() => queue.counts(), patient).toMatchObject({ waiting: 0, active: 1 })
  admin.disconnect()
  held.release()
  await until(event => event.kind === 'started' && event.job.shard === 1)
  const before = events.length
  finish[1]?.resolve()
  await until(event => event.kind === 'idle' && events.indexOf(event) >= before)
  // Before its connection to Redis is cut.
  await consumer.drain(0)
})

test('a job is requeued without using an attempt when the endpoint is overloaded', async () => {
  await queue.add(jobs(1))
  let times = 0
  const { until, events } = await consuming(async () => {
    times += 1
    if (times <= 7)
      throw new ReembedError('ENDPOINT_OVERLOADED', 'busy', { retry: 'requeue', retryAfterMs: 1 })
  })
  await until(event => event.kind === 'done')
  expect(events.filter(event => event.kind === 'delayed')).toHaveLength(7)
  expect(events.filter(event => event.kind === 'failed')).toHaveLength(0)
})

test('a permanent error fails a job at once, with its reason listed, and the job can be enqueued again', async () => {
  await queue.add(jobs(2))
  const { until } = await consuming(async ({ shard }) => {
    if (shard === 1) throw new ReembedError('SOURCE_CHANGED', 'the file changed')
  })
  await until(event => event.kind === 'failed' && event.final)
  await expect.poll(() => queue.failures(RUN)).toEqual([{ run: RUN, shard: 1, reason: 'the file changed' }])
  expect(await queue.removeFailed(RUN)).toBe(1)
  expect((await queue.counts()).failed).toBe(0)
})

test('a draining worker completes a job within the grace period and requeues it afterwards', async () => {
  await queue.add(jobs(2))
  const finish = Promise.withResolvers<void>()
  const { consumer, until, events } = await consuming(async ({ shard }, { signal }) => {
    if (shard === 0) return finish.promise
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  })
  await until(event => event.kind === 'started' && event.job.shard === 1)
  finish.resolve()
  await until(event => event.kind === 'done')
  await consumer.drain(50)
  expect(events.flatMap(event => (event.kind === 'requeued' ? event.job.shard : []))).toEqual([1])
  expect(await queue.counts()).toEqual({ waiting: 1, active: 0, delayed: 0, failed: 0 })
})

test('P-HANDBACK: a worker requeues its job at once on shutdown, without a stall and without using an attempt', async () => {
  await queue.add(jobs(1))
  const first = await consuming(
    (_job, { signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  )
  await first.until(event => event.kind === 'started')
  const finish = Promise.withResolvers<void>()
  const second = await consuming(() => finish.promise)
  await first.consumer.drain(0)
  await second.until(event => event.kind === 'started')
  const client = new Redis(redis.url)
  const [stalls, attempts] = await client.hmget(`{reembed}:embed:${RUN}-0`, 'stc', 'atm')
  client.disconnect()
  expect(Number(stalls ?? 0)).toBe(0)
  expect(Number(attempts ?? 0)).toBe(0)
  finish.resolve()
  await second.until(event => event.kind === 'done')
  expect(second.events.filter(({ kind }) => kind === 'stalled')).toEqual([])
})

test('P-HANDBACK: a worker requeues its job on shutdown when the job ignores its signal', async () => {
  await queue.add(jobs(1))
  const { consumer, until, events } = await consuming(() => new Promise(() => {}))
  await until(event => event.kind === 'started')
  await consumer.drain(0)
  expect(events.filter(({ kind }) => kind === 'requeued')).toHaveLength(1)
  expect(await queue.counts()).toEqual({ waiting: 1, active: 0, delayed: 0, failed: 0 })
})

test('a job with foreign data fails permanently and is never handled', async () => {
  const handled: Job[] = []
  await queue.add([{ output: '/out', run: '../../etc', shard: 0 }])
  const { until } = await consuming(async job => void handled.push(job))
  await until(event => event.kind === 'failed' && event.final)
  expect(handled).toEqual([])
})

test('Redis holds only the pointer of a job', async () => {
  await queue.add(jobs(1))
  const client = new Redis(redis.url)
  const data = await client.hget(`{reembed}:embed:${RUN}-0`, 'data')
  client.disconnect()
  expect(JSON.parse(data ?? '')).toEqual({ output: '/out', run: RUN, shard: 0 })
})

test('a Redis that may evict jobs is refused, with the setting to change', async () => {
  const client = new Redis(redis.url)
  await client.config('SET', 'maxmemory-policy', 'allkeys-lru')
  client.disconnect()
  await expect(openQueue(redis.url)).rejects.toMatchObject({
    code: 'REDIS_MISCONFIGURED',
    message: expect.stringMatching(/allkeys-lru.*noeviction/),
  })
})

test('a wrong password is reported at once, without the password in the message', async () => {
  const client = new Redis(redis.url)
  await client.config('SET', 'requirepass', 'right')
  const url = redis.url.replace('redis://', 'redis://:wrong-secret@')
  const failure = await openQueue(url).catch(error => error)
  expect(failure).toMatchObject({ code: 'REDIS_MISCONFIGURED' })
  expect(failure.message).not.toContain('wrong-secret')
  await client.config('SET', 'requirepass', '')
  client.disconnect()
})

test('a worker exits soon after its grace period when Redis is unreachable', async () => {
  await queue.add(jobs(1))
  const { consumer, until } = await consuming(
    (_, { signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  )
  await until(event => event.kind === 'started')
  await redis[Symbol.asyncDispose]()
  await consumer.drain(10)
})
