// Delays and heartbeats with a machine whose clock is hours wrong, on a real Redis.

import { type LocalRedis, startRedis } from '@reembed/local'
import { consume, openQueue, openQueueReader } from '@reembed/queue'
import { ReembedError } from '@reembed/shared'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'

const HOUR_MS = 3_600_000
const RUN = 'q'.repeat(26)
const RIGHT = Date.now.bind(Date)

let redis: LocalRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis[Symbol.asyncDispose]())
afterEach(() => vi.restoreAllMocks())

const skewed = (ms: number) => vi.spyOn(Date, 'now').mockImplementation(() => RIGHT() + ms)
const outage = (): ReembedError =>
  new ReembedError('ENDPOINT_UNREACHABLE', 'down', { retry: 'requeue', retryAfterMs: 300 })
const broken = (): ReembedError => new ReembedError('REPLY_INVALID', 'broken', { retry: 'retry' })

test.each([
  ['delay', 2, outage],
  ['delay', -2, outage],
  ['retry', 2, broken],
  ['retry', -2, broken],
] as const)(
  'a job is tried again after its %s on a worker whose clock is %d hours off',
  async (what, hours, fault) => {
    const target = { url: redis.url, queue: `q${what}${hours > 0 ? 'ahead' : 'behind'}` }
    await using queue = await openQueue(target)
    await queue.add([{ output: '/out', run: RUN, shard: 0 }])
    skewed(hours * HOUR_MS)
    let attempts = 0
    const done = Promise.withResolvers<void>()
    const failed = Promise.withResolvers<void>()
    await using consumer = await consume(
      target,
      async () => {
        attempts += 1
        if (attempts === 1) throw fault()
        done.resolve()
      },
      {
        concurrency: 1,
        outputs: ['/out'],
        onEvent: ({ kind }) => (kind === 'delayed' || kind === 'failed') && failed.resolve(),
      },
    )
    await failed.promise
    await done.promise
    expect(attempts).toBe(2)
    await consumer.heartbeat({ worker: 'w', endpoint: 'ok' })
    // An exporter or a console on this machine.
    await using reader = openQueueReader(target)
    expect(await reader.workers()).toMatchObject([{ worker: 'w' }])
    vi.restoreAllMocks()
    expect(await queue.workers()).toMatchObject([{ worker: 'w' }])
  },
  15_000,
)

test('a job that a worker two hours ahead delays is taken by another worker when the delay ends', async () => {
  const target = { url: redis.url, queue: 'two' }
  await using queue = await openQueue(target)
  await queue.add([{ output: '/out', run: RUN, shard: 0 }])
  const client = new Redis(redis.url)
  const clock = skewed(2 * HOUR_MS)
  {
    const delayed = Promise.withResolvers<void>()
    await using _ahead = await consume(target, async () => Promise.reject(outage()), {
      concurrency: 1,
      outputs: ['/out'],
      onEvent: ({ kind }) => kind === 'delayed' && delayed.resolve(),
    })
    await delayed.promise
    await expect.poll(() => client.zcard('{reembed}:two:delayed')).toBe(1)
  }
  clock.mockRestore()
  const [, score = ''] = await client.zrange('{reembed}:two:delayed', '0', '-1', 'WITHSCORES')
  client.disconnect()
  // BullMQ keeps the time in the upper bits of the score.
  if (score !== '') expect(Number(score) / 4096 - RIGHT()).toBeLessThan(60_000)
  const taken = Promise.withResolvers<void>()
  await using _right = await consume(target, async () => taken.resolve(), {
    concurrency: 1,
    outputs: ['/out'],
  })
  await taken.promise
}, 15_000)
