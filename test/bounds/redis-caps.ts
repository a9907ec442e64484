// The limits of values in Redis, at the limit and beyond it, on a real Redis that another program
// writes to.

import { startRedis } from '@reembed/local'
import { consume, type Job, jobId, openQueue, openQueueReader, queueKey } from '@reembed/queue'
import { LIMITS, messageOf } from '@reembed/shared'
import { Redis } from 'ioredis'
import type { CapTrial } from './caps.ts'

const OF = { output: '/out', run: 'q'.repeat(26) }
const MOST = 256

const jobs = (count: number): Job[] => Array.from({ length: count }, (_, shard) => ({ ...OF, shard }))

interface Place {
  readonly url: string
  readonly client: Redis
}

async function inRedis<T>(use: (place: Place) => Promise<T>): Promise<T> {
  await using redis = await startRedis()
  const client = new Redis(redis.url)
  try {
    return await use({ url: redis.url, client })
  } finally {
    client.disconnect()
  }
}

const orMessage = (read: Promise<unknown>): Promise<string> =>
  read.then(value => JSON.stringify(value).slice(0, 120), messageOf)

/** Sets a field to so many bytes, without sending them. */
const setLong = (client: Redis, key: string, field: string, bytes: number): Promise<unknown> =>
  client.eval(`redis.call('HSET', KEYS[1], ARGV[1], string.rep('x', ARGV[2]))`, 1, key, field, bytes)

const beat = (worker: string, pad = 0): string =>
  JSON.stringify({ worker, endpoint: 'x'.repeat(pad), outputs: ['/out'], atMs: Date.now() + 3_600_000 })

/** A heartbeat of exactly so many bytes. */
const beatOf = (worker: string, bytes: number): string => beat(worker, bytes - beat(worker).length)

export const redisReplyBytes: CapTrial = {
  what: 'a list with one job id of 16 MiB without the frame of the reply, and of 300 MB',
  most: MOST,
  outcomes: [/"active":0/, /to LRANGE \{reembed\}:embed:active has more than 16777216 bytes/],
  run: () =>
    inRedis(async ({ url, client }) => {
      await using reader = openQueueReader(url)
      const found: string[] = []
      for (const bytes of [LIMITS.redisReplyBytes - 100, 300_000_000]) {
        await client.del(queueKey('active'))
        await client.eval(
          `redis.call('LPUSH', KEYS[1], string.rep('x', ARGV[1]))`,
          1,
          queueKey('active'),
          bytes,
        )
        found.push(await orMessage(reader.counts(OF)))
      }
      return found
    }),
}

export const redisFieldBytes: CapTrial = {
  what: 'the last error of a failed job: of 64 KiB, and one byte longer',
  most: MOST,
  outcomes: [/^65536$/, /^0$/],
  run: () =>
    inRedis(async ({ url, client }) => {
      await using queue = await openQueue(url)
      await queue.add(jobs(1))
      const [job] = jobs(1)
      if (job === undefined) throw new Error('no job')
      await client.zadd(queueKey('failed'), 0, jobId(job))
      const found: string[] = []
      for (const bytes of [LIMITS.redisFieldBytes, LIMITS.redisFieldBytes + 1]) {
        await setLong(client, queueKey(jobId(job)), 'failedReason', bytes)
        found.push(String((await queue.failures(OF))[0]?.reason.length))
      }
      return found
    }),
}

export const redisHashBytes: CapTrial = {
  what: 'heartbeats of 64 KiB: 1,024 of them, and 3,000',
  most: 512,
  outcomes: [/^1024 workers$/, /^1024 workers$/],
  run: () =>
    inRedis(async ({ url, client }) => {
      await using reader = openQueueReader(url)
      const found: string[] = []
      for (const count of [1_024, 3_000]) {
        for (let n = 0; n < count; n += 1)
          await client.hset(queueKey('workers'), `w${n}`, beatOf(`w${n}`, LIMITS.heartbeatBytes))
        found.push(`${(await reader.workers()).length} workers`)
      }
      return found
    }),
}

async function take(edit: (client: Redis, job: Job) => Promise<unknown>): Promise<string> {
  return inRedis(async ({ url, client }) => {
    await using queue = await openQueue(url)
    const [job, last] = jobs(2)
    if (job === undefined || last === undefined) throw new Error('no job')
    await queue.add([job, last])
    await edit(client, job)
    const ended = Promise.withResolvers<void>()
    const events: string[] = []
    const handle = async ({ shard }: Job): Promise<void> => {
      events.push(`done ${shard}`)
    }
    await using _consumer = await consume(url, handle, {
      concurrency: 1,
      outputs: ['/out'],
      onEvent(event) {
        if (event.kind === 'removed') events.push(`removed ${event.id.length}`)
        if (event.kind === 'idle') ended.resolve()
      },
    })
    await ended.promise
    return events.toSorted().join(', ')
  })
}

export const jobBytes: CapTrial = {
  what: 'a job of 256 KiB, and one byte longer',
  most: MOST,
  outcomes: [/^done 0, done 1$/, /^done 1, removed \d+$/],
  async run() {
    const found: string[] = []
    for (const bytes of [LIMITS.jobBytes, LIMITS.jobBytes + 1]) {
      const pad = async (client: Redis, job: Job): Promise<void> => {
        const fields = await client.hgetall(queueKey(jobId(job)))
        const known = Object.entries(fields).reduce(
          (sum, [name, value]) => sum + name.length + value.length,
          0,
        )
        await setLong(client, queueKey(jobId(job)), 'pad', bytes - known - 'pad'.length)
      }
      found.push(await take(pad))
    }
    return found
  },
}

export const jobIdBytes: CapTrial = {
  what: 'the id of a waiting job of 256 bytes, whose job does not exist, and one of 300 MB',
  most: MOST,
  outcomes: [/^done 0, done 1$/, /^done 0, done 1$/],
  async run() {
    const found: string[] = []
    for (const bytes of [LIMITS.jobIdBytes, 300_000_000])
      found.push(
        await take(client =>
          client.eval(`redis.call('LPUSH', KEYS[1], string.rep('x', ARGV[1]))`, 1, queueKey('wait'), bytes),
        ),
      )
    return found
  },
}

export const listedJobs: CapTrial = {
  what: 'failed jobs of a run: 10,000, and 50,000',
  most: MOST,
  outcomes: [/^10000$/, /^10000$/],
  run: () =>
    inRedis(async ({ url, client }) => {
      await using reader = openQueueReader(url)
      const found: string[] = []
      for (const count of [LIMITS.listedJobs, 5 * LIMITS.listedJobs]) {
        const ids = jobs(count).flatMap(job => [0, jobId(job)])
        for (let at = 0; at < ids.length; at += 2_000)
          await client.zadd(queueKey('failed'), ...ids.slice(at, at + 2_000))
        found.push(String((await reader.counts(OF)).failed))
      }
      return found
    }),
}

export const outputCharacters: CapTrial = {
  what: 'the output in a job of 4,096 characters, and one longer',
  most: MOST,
  outcomes: [/^taken$/, /^invalid job: expected/],
  async run() {
    const { parseJob } = await import('../../packages/queue/src/job.ts')
    return [LIMITS.outputCharacters, LIMITS.outputCharacters + 1].map(length => {
      try {
        parseJob({ output: '/'.padEnd(length, 'x'), run: OF.run, shard: 0 })
        return 'taken'
      } catch (error) {
        return messageOf(error)
      }
    })
  },
}

export const heartbeats: CapTrial = {
  what: 'heartbeats of a queue: 10,000, and 30,000',
  most: MOST,
  outcomes: [/^10000 workers$/, /^10000 workers$/],
  run: () =>
    inRedis(async ({ url, client }) => {
      await using reader = openQueueReader(url)
      const found: string[] = []
      for (const count of [LIMITS.heartbeats, 3 * LIMITS.heartbeats]) {
        for (let at = 0; at < count; at += 1_000) {
          const some = Array.from({ length: 1_000 }, (_, i) => [`w${at + i}`, beat(`w${at + i}`)])
          await client.hset(queueKey('workers'), ...some.flat())
        }
        found.push(`${(await reader.workers()).length} workers`)
      }
      return found
    }),
}

export const heartbeatBytes: CapTrial = {
  what: 'a heartbeat of 64 KiB, and one byte longer',
  most: MOST,
  outcomes: [/^1 workers$/, /^0 workers$/],
  run: () =>
    inRedis(async ({ url, client }) => {
      await using reader = openQueueReader(url)
      const found: string[] = []
      for (const bytes of [LIMITS.heartbeatBytes, LIMITS.heartbeatBytes + 1]) {
        await client.hset(queueKey('workers'), 'w', beatOf('w', bytes))
        found.push(`${(await reader.workers()).length} workers`)
      }
      return found
    }),
}
