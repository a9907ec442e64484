// When jobs came back to the queue, as Redis itself noted it: BullMQ writes each of a job's steps
// into a stream.

import { setTimeout as wait } from 'node:timers/promises'
import { QUEUE, REDIS_PREFIX } from '@reembed/queue'
import { Redis } from 'ioredis'

export interface Return {
  readonly shard: number
  /** By Redis' clock, which is this machine's. */
  readonly atMs: number
}

export interface Returns extends Disposable {
  readonly seen: readonly Return[]
}

type Entry = [id: string, fields: string[]]

/** Records every job that a worker held and that waits again. */
export function watchReturns(redisUrl: string): Returns {
  const redis = new Redis(redisUrl, { maxRetriesPerRequest: null })
  redis.on('error', () => {})
  const seen: Return[] = []
  let last = '$'

  async function read(): Promise<void> {
    while (redis.status !== 'end') {
      const reading = redis.xread('BLOCK', 0, 'STREAMS', `${REDIS_PREFIX}:${QUEUE}:events`, last)
      // Redis may be just coming back.
      const found = await reading.catch(() => wait(100, null))
      for (const [, entries] of (found ?? []) as [string, Entry[]][]) {
        for (const [id, fields] of entries) {
          last = id
          const { event, prev, jobId = '' } = Object.fromEntries(pairs(fields))
          if (event !== 'waiting' || prev !== 'active') continue
          seen.push({ shard: Number(jobId.slice(jobId.lastIndexOf('-') + 1)), atMs: Number.parseInt(id, 10) })
        }
      }
    }
  }
  void read()

  return {
    seen,
    [Symbol.dispose]: () => redis.disconnect(),
  }
}

function* pairs(fields: readonly string[]): Generator<[string, string], void, undefined> {
  for (let i = 0; i + 1 < fields.length; i += 2) yield [fields[i] ?? '', fields[i + 1] ?? '']
}
