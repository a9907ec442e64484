// Values of other programs in the keys of a queue.

import { startRedis } from '@reembed/local'
import { openQueue } from '@reembed/queue'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'

test('heartbeats that another program wrote are no workers, and Redis counts as reachable', async () => {
  await using redis = await startRedis()
  await using queue = await openQueue(redis.url)
  const client = new Redis(redis.url)
  const key = '{reembed}:embed:workers'
  const entry = (atMs: unknown) => JSON.stringify({ worker: 'w', endpoint: 'ok', outputs: ['/out'], atMs })
  await client.hset(key, {
    ...Object.fromEntries(
      ['null', '[]', '{', '""', '7', entry('now'), entry(null)].map((v, i) => [`bad${i}`, v]),
    ),
    long: JSON.stringify({ worker: 'x'.repeat(100_000), endpoint: 'ok', outputs: [], atMs: Date.now() }),
    activity: JSON.stringify({ ...JSON.parse(entry(Date.now())), activity: { jobs: 'many' } }),
    good: entry(Date.now()),
  })
  expect(await queue.workers()).toMatchObject([{ worker: 'w' }])
  await client.del(key)
  await client.set(key, 'a string')
  expect(await queue.workers()).toEqual([])
  expect(await queue.counts()).toMatchObject({ waiting: 0 })
  client.disconnect()
})
