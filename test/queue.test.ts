// The queue on a real Redis: the disposition of a job for each outcome of its handler.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { type LocalRedis, startRedis } from '@reembed/local'
import {
  type Consumer,
  type ConsumerEvent,
  consume,
  type Job,
  type JobContext,
  jobId,
  openQueue,
  type Queue,
  requireRights,
} from '@reembed/queue'
import { ReembedError, withDeadlines } from '@reembed/shared'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { freePort, startRedisServer } from './infra/parts/redis-server.ts'
import { temporaryFolder } from './parts/cli.ts'
import { startHeldTcp } from './parts/tcp.ts'

const RUN = 'q'.repeat(26)
const OF = { output: '/out', run: RUN }
const jobs = (count: number): Job[] => Array.from({ length: count }, (_, shard) => ({ ...OF, shard }))

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

/** Consumes with `handle` and collects the events; `until` resolves when an event matches. */
async function consuming(
  handle: (job: Job, context: JobContext) => Promise<void>,
  { concurrency = 2, url = redis.url, outputs = ['/out'], queue = 'embed' } = {},
) {
  const events: ConsumerEvent[] = []
  const waiting = new Set<() => void>()
  const consumer = await consume({ url, queue }, handle, {
    concurrency,
    outputs,
    onEvent: event => {
      events.push(event)
      for (const check of waiting) check()
    },
  })
  consumers.push(consumer)
  const until = (fits: (event: ConsumerEvent) => boolean): Promise<void> =>
    new Promise(resolve => {
      const check = (): void => {
        if (!events.some(fits)) return
        waiting.delete(check)
        resolve()
      }
      waiting.add(check)
      check()
    })
  return { consumer, events, until }
}

test('a consumer waits at its start for an unavailable Redis longer than a command does', async () => {
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(await temporaryFolder())
  const port = await freePort()
  const target = `redis://127.0.0.1:${port}`
  const away = Promise.withResolvers<void>()
  // A command waits 97 ms, which ends before the second attempt; the start of a consumer 1.9 s.
  const started = withDeadlines({ timeoutMs: 3_900 }, () =>
    consume(target, async () => {}, { concurrency: 1, outputs: ['/out'], onWait: () => away.resolve() }),
  )
  await Promise.race([away.promise, started])
  stack.use(await startRedisServer(folder.path, ['--maxmemory-policy', 'noeviction', '--save', ''], port))
  stack.use(await started)
})

test('a lease that is held for a moment leaves no delayed job, so that its shard can be enqueued', async () => {
  const [job] = jobs(1)
  if (job === undefined) throw new Error('no job')
  for (let i = 0; i < 20; i++) expect(await queue.withFinalizeLease(OF, async () => i, job)).toBe(i)
  expect(await queue.add([job])).toBe(1)
  expect(await queue.counts()).toMatchObject({ waiting: 1, delayed: 0 })
})

test('rights that a lost connection did not prove are not granted', async () => {
  const port = await freePort()
  await expect(
    withDeadlines({ timeoutMs: 500 }, () => requireRights(`redis://127.0.0.1:${port}`)),
  ).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' })
})

test('each job is handled once when several producers add it repeatedly', async () => {
  const other = await openQueue(redis.url)
  await Promise.all([queue.add(jobs(50)), other.add(jobs(50)), queue.add(jobs(50))])
  expect(await queue.add(jobs(60))).toBe(10)
  await other[Symbol.asyncDispose]()
  const seen: number[] = []
  const { until } = await consuming(async ({ shard }) => void seen.push(shard))
  await until(() => seen.length >= 60)
  await until(event => event.kind === 'idle')
  expect(seen.toSorted((a, b) => a - b)).toEqual(jobs(60).map(({ shard }) => shard))
  await expect.poll(() => queue.counts()).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 })
})

test('a worker does not wait without end for a Redis that falls silent behind its checks', async () => {
  const target = Number(new URL(redis.url).port)
  let connections = 0
  const proxy = createServer(socket => {
    connections += 1
    // The two checks have a connection each.
    const behind = connections <= 2 ? socket.pipe(connect(target, '127.0.0.1')).pipe(socket) : socket
    for (const end of [socket, behind]) end.on('error', () => {})
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const url = redis.url.replace(/\d+$/, String((proxy.address() as AddressInfo).port))
  const started = withDeadlines({ timeoutMs: 6_000 }, () => consuming(async () => {}, { url }))
  await expect(started).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' })
  expect(connections).toBe(3)
  proxy.close()
})

test('a worker emits idle after its last job, also when a concurrent fetch found no job', async () => {
  await using held = await startHeldTcp(Number(new URL(redis.url).port))
  const patient = { timeout: 60_000 }
  const finish = jobs(2).map(() => Promise.withResolvers<void>())
  const { consumer, until, events } = await consuming(async ({ shard }) => finish[shard]?.promise, {
    url: redis.url.replace(/\d+$/, String(held.port)),
  })
  await queue.add(jobs(1))
  await until(event => event.kind === 'started')
  // The other slot of the worker is in a blocking read that does not time out soon.
  const admin = new Redis(redis.url)
  await expect.poll(() => admin.client('LIST'), patient).toMatch(/ idle=[01] flags=b /)
  held.hold('bzpopmin')
  // That slot gets a job, then the first slot ends and gets none; both replies arrive at once.
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
  // Before the proxy to Redis closes.
  await consumer.drain(0)
})

/** Jobs of another output or run. */
const jobsOf = (count: number, of: Partial<Job>): Job[] => jobs(count).map(job => ({ ...job, ...of }))

test('runs of a queue take turns: one job enqueued behind a thousand is the second that a worker takes', async () => {
  await queue.add(jobs(1_000))
  const taken: string[] = []
  const enough = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  const late = 'z'.repeat(26)
  const { consumer } = await consuming(
    async ({ run, shard }) => {
      taken.push(`${run[0]}${shard}`)
      if (taken.length === 1) await go.promise
      if (taken.length >= 8) enough.resolve()
    },
    { concurrency: 1 },
  )
  await expect.poll(() => taken).toHaveLength(1)
  await queue.add(jobsOf(3, { run: late }))
  go.resolve()
  await enough.promise
  expect(taken.slice(0, 8)).toEqual(['q0', 'z0', 'q1', 'z1', 'q2', 'z2', 'q3', 'q4'])
  await consumer.drain(0)
})

test('a worker takes no job of an output that it does not serve, and is idle while such jobs wait', async () => {
  await queue.add(jobsOf(500, { output: '/other' }))
  await queue.add(jobsOf(2, { output: '/out/below' }))
  await queue.add(jobsOf(2, { output: '/outside' }))
  const seen: string[] = []
  const { until, events } = await consuming(async ({ output }) => void seen.push(output))
  await until(event => event.kind === 'idle')
  expect(seen).toEqual(['/out/below', '/out/below'])
  expect(events.filter(({ kind }) => !['started', 'done', 'idle'].includes(kind))).toEqual([])
  await expect.poll(() => queue.counts()).toEqual({ waiting: 502, active: 0, delayed: 0, failed: 0 })
  expect(await queue.counts({ output: '/other', run: RUN })).toMatchObject({ waiting: 500 })
})

test('a worker that sleeps behind a worker of another output is woken by the first job of its own', async () => {
  const asleep = async (workers: number): Promise<void> => {
    const admin = new Redis(redis.url)
    const blocked = async () => Number(/blocked_clients:(\d+)/.exec(await admin.info('clients'))?.[1])
    await expect.poll(blocked).toBe(workers)
    admin.disconnect()
  }
  const foreign = await consuming(async () => {}, { outputs: ['/other'] })
  await asleep(1)
  const own = await consuming(async () => {})
  await asleep(2)
  // Redis wakes the worker that has slept longest, which serves another output.
  const addedMs = performance.now()
  await queue.add(jobs(1))
  await own.until(event => event.kind === 'done')
  // A worker that is not woken sleeps for 5 s.
  expect(performance.now() - addedMs).toBeLessThan(4_000)
  expect(foreign.events.filter(({ kind }) => kind !== 'idle')).toEqual([])
})

test('a worker takes one job after another beside a worker that sleeps and serves another output', async () => {
  await queue.add(jobs(12))
  await consuming(async () => {}, { outputs: ['/other'] })
  const startedMs = performance.now()
  const own = await consuming(async () => {}, { concurrency: 1 })
  await own.until(event => event.kind === 'idle')
  expect(own.events.filter(({ kind }) => kind === 'done')).toHaveLength(12)
  // A worker that waited for a wake-up after each job would sleep for 5 s, eleven times.
  expect(performance.now() - startedMs).toBeLessThan(40_000)
}, 120_000)

test('queues of one Redis share neither jobs nor workers', async () => {
  await using other = await openQueue({ url: redis.url, queue: 'team-b' })
  await queue.add(jobs(2))
  expect(await other.add(jobs(3))).toBe(3)
  const seen: number[] = []
  const { consumer, until } = await consuming(async ({ shard }) => void seen.push(shard), { queue: 'team-b' })
  await consumer.heartbeat({ worker: 'b', endpoint: 'ok' })
  await until(event => event.kind === 'idle')
  expect(seen.toSorted()).toEqual([0, 1, 2])
  expect(await queue.counts()).toMatchObject({ waiting: 2 })
  expect(await queue.workers()).toEqual([])
  expect(await other.workers()).toMatchObject([{ worker: 'b', outputs: ['/out'] }])
})

test('a heartbeat leaves out what readers would refuse it for, and the worker stays visible', async () => {
  const { consumer } = await consuming(async () => {})
  const replicas = Array.from({ length: 50 }, (_, i) => ({
    replica: `${i}${'x'.repeat(5_000)}`,
    state: 'ejected',
  }))
  const activity = {
    ...{ jobs: 1, limit: 8, inFlight: 3, replicas },
    requests: { answered: 7, refused: 0, failed: 0, p50Ms: 1, p99Ms: 2, queueMs: null },
  }
  await consumer.heartbeat({ worker: 'a', endpoint: 'y'.repeat(100_000), activity })
  const [found] = await queue.workers()
  expect(found).toMatchObject({ worker: 'a', outputs: ['/out'], activity: { limit: 8, inFlight: 3 } })
  expect(found?.activity?.replicas).toBeUndefined()
  expect(found?.endpoint).toMatch(/^y{2048}$/)
})

test('a worker refuses outputs that its heartbeat has no room for', async () => {
  const outputs = Array.from({ length: 1_000 }, (_, i) => `s3://vectors/a-team-with-a-long-name/${i}`)
  await expect(consuming(async () => {}, { outputs })).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringMatching(
      /^the URLs of the 1000 outputs have \d+ bytes, and a heartbeat has room for 32768: serve a folder/,
    ),
  })
})

test.each(['', 'Team', '1st', 'a:b', 'run', 'limit', 'x'.repeat(41)])(
  'openQueue refuses the queue name %j',
  async name => {
    await expect(openQueue({ url: redis.url, queue: name })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/cannot name a queue: use 1 to 40 characters/),
    })
  },
)

test('a job is delayed without spending an attempt on overload', async () => {
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

test('a job fails at once with its reason on a permanent error, and can be enqueued again', async () => {
  await queue.add(jobs(2))
  const { until } = await consuming(async ({ shard }) => {
    if (shard === 1) throw new ReembedError('SOURCE_CHANGED', 'the file changed')
  })
  await until(event => event.kind === 'failed' && event.final)
  await expect.poll(() => queue.failures(OF)).toEqual([{ ...OF, shard: 1, reason: 'the file changed' }])
  // A sweep reports what `add` returns: a failed job is not added again.
  expect(await queue.add([{ ...OF, shard: 1 }])).toBe(0)
  expect(await queue.removeFailed(OF)).toBe(1)
  expect((await queue.counts()).failed).toBe(0)
  expect(await queue.add([{ ...OF, shard: 1 }])).toBe(1)
})

test('drain lets a job end within the grace period, and requeues it after that', async () => {
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

test('P-HANDBACK: a worker that shuts down requeues its job for another worker at once, without a stall or an attempt', async () => {
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
  const [stalls, attempts] = await client.hmget(`{reembed}:embed:${jobId({ ...OF, shard: 0 })}`, 'stc', 'atm')
  client.disconnect()
  expect(Number(stalls ?? 0)).toBe(0)
  expect(Number(attempts ?? 0)).toBe(0)
  finish.resolve()
  await second.until(event => event.kind === 'done')
  expect(second.events.filter(({ kind }) => kind === 'stalled')).toEqual([])
})

test('P-HANDBACK: a worker that shuts down requeues a job that ignores its signal', async () => {
  await queue.add(jobs(1))
  const { consumer, until, events } = await consuming(() => new Promise(() => {}))
  await until(event => event.kind === 'started')
  await consumer.drain(0)
  expect(events.filter(({ kind }) => kind === 'requeued')).toHaveLength(1)
  expect(await queue.counts()).toEqual({ waiting: 1, active: 0, delayed: 0, failed: 0 })
})

/** Takes a job and holds it until `finish`. */
async function holding(concurrency = 1) {
  const finish = Promise.withResolvers<void>()
  let [taken, atOnce, most] = [0, 0, 0]
  let context: JobContext | undefined
  const { consumer, until, events } = await consuming(
    async (_job, given) => {
      context ??= given
      taken += 1
      atOnce += 1
      most = Math.max(most, atOnce)
      await finish.promise
      atOnce -= 1
    },
    { concurrency },
  )
  await until(event => event.kind === 'started')
  return {
    finish: finish.resolve,
    until,
    events,
    beat: () => consumer.heartbeat({ worker: 'a', endpoint: 'ok' }),
    stopped: () => context?.stop.begun.aborted,
    taken: () => taken,
    most: () => most,
  }
}

const flush = async (): Promise<void> => {
  const client = new Redis(redis.url)
  await client.flushall()
  client.disconnect()
}

test('P-KEEPS: a worker keeps its job after FLUSHALL, although a sweep has enqueued the job again', async () => {
  await queue.add(jobs(1))
  const first = await holding()
  await flush()
  expect(await queue.add(jobs(2))).toBe(2)
  await first.beat()
  await expect.poll(() => queue.counts()).toEqual({ waiting: 1, active: 1, delayed: 0, failed: 0 })
  const second: number[] = []
  const { until } = await consuming(async ({ shard }) => void second.push(shard))
  await until(event => event.kind === 'idle')
  expect(second).toEqual([1])
  first.finish()
  await first.until(event => event.kind === 'done')
  await expect.poll(() => queue.counts()).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 })
  expect([first.stopped(), first.taken()]).toEqual([false, 1])
})

test('P-KEEPS: a worker keeps its job when Redis is restarted without its data', async () => {
  await queue.add(jobs(1))
  const { finish, until, taken } = await holding()
  const { port, password } = new URL(redis.url)
  await redis[Symbol.asyncDispose]()
  redis = await startRedis({ port: Number(port), password })
  await expect.poll(() => queue.counts(), { timeout: 5_000 }).toMatchObject({ active: 1 })
  expect(await queue.add(jobs(1))).toBe(0)
  finish()
  await until(event => event.kind === 'done')
  await expect.poll(() => queue.counts()).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 })
  expect(taken()).toBe(1)
})

test('settle waits after FLUSHALL, and not for a Redis that kept its data', async () => {
  await using other = await openQueue(redis.url, { settleMs: 50 })
  expect(await other.settle()).toBe(false)
  await flush()
  const startedMs = performance.now()
  expect(await Promise.all([other.settle(), other.settle()])).toEqual([true, true])
  expect(performance.now() - startedMs).toBeGreaterThan(49)
  expect(await other.settle()).toBe(false)
  await flush()
  await expect(other.settle(AbortSignal.abort())).rejects.toThrow(/abort/)
})

test('a job that another worker took after FLUSHALL ends at the first worker', async () => {
  await queue.add(jobs(1))
  const first = await holding()
  await flush()
  await queue.add(jobs(1))
  const second = await holding()
  await first.beat()
  await expect.poll(first.stopped).toBe(true)
  expect(second.stopped()).toBe(false)
  for (const { finish } of [first, second]) finish()
  await second.until(event => event.kind === 'done')
  await expect.poll(() => queue.counts()).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 })
})

test('a process that takes its own job again after FLUSHALL waits for the first attempt', async () => {
  await queue.add(jobs(1))
  const { finish, until, events, beat, stopped, taken, most } = await holding(2)
  await flush()
  await queue.add(jobs(1))
  await until(
    event => event.kind === 'started' && events.filter(({ kind }) => kind === 'started').length === 2,
  )
  await beat()
  finish()
  await until(() => events.filter(({ kind }) => kind === 'done').length === 2)
  expect([taken(), most(), stopped()]).toEqual([2, 1, false])
  await expect.poll(() => queue.counts()).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 })
})

test('a blocked run takes one turn at a time, and the other run of the queue every other one', async () => {
  const blocked = 'b'.repeat(26)
  await queue.add(jobsOf(100, { run: blocked }))
  await queue.add(jobs(100))
  let attempts = 0
  const { until, events } = await consuming(
    async ({ run }) => {
      if (run !== blocked) return
      attempts += 1
      throw new ReembedError('MODEL_MISMATCH', 'another model', { retry: 'requeue', retryAfterMs: 60_000 })
    },
    { concurrency: 4 },
  )
  await until(() => events.filter(({ kind }) => kind === 'done').length === 100)
  await until(event => event.kind === 'idle')
  // The slots that took a job before the first failure.
  expect(attempts).toBeLessThanOrEqual(4)
  expect(await queue.counts({ output: '/out', run: blocked })).toEqual({
    waiting: 100 - attempts,
    active: 0,
    delayed: attempts,
    failed: 0,
  })
})

test('a blocked run continues with all its jobs when its cause has ended', async () => {
  await queue.add(jobs(20))
  let isBlocked = true
  const { until, events } = await consuming(async () => {
    if (isBlocked)
      throw new ReembedError('STORE_UNREACHABLE', 'the corpus', { retry: 'requeue', retryAfterMs: 100 })
  })
  await until(event => event.kind === 'delayed')
  isBlocked = false
  await until(() => events.filter(({ kind }) => kind === 'done').length === 20)
})

test('an invalid job fails for good and is never handled', async () => {
  const handled: Job[] = []
  await queue.add([{ output: '/out', run: '../../etc', shard: 0 }])
  const { until } = await consuming(async job => void handled.push(job))
  await until(event => event.kind === 'failed' && event.final)
  expect(handled).toEqual([])
})

test('Redis holds only the pointer of a job', async () => {
  await queue.add(jobs(1))
  const client = new Redis(redis.url)
  const data = await client.hget(`{reembed}:embed:${jobId({ ...OF, shard: 0 })}`, 'data')
  client.disconnect()
  expect(JSON.parse(data ?? '')).toEqual({ output: '/out', run: RUN, shard: 0 })
})

test('openQueue refuses a Redis that may evict jobs, and names the setting', async () => {
  const client = new Redis(redis.url)
  await client.config('SET', 'maxmemory-policy', 'allkeys-lru')
  client.disconnect()
  await expect(openQueue(redis.url)).rejects.toMatchObject({
    code: 'REDIS_MISCONFIGURED',
    message: expect.stringMatching(/allkeys-lru.*noeviction/),
  })
})

test('openQueue fails at once on a wrong password, and does not repeat it', async () => {
  const url = redis.url.replace(/:[^:]+@/, ':wrong-secret@')
  const failure = await openQueue(url).catch(error => error)
  expect(failure).toMatchObject({ code: 'REDIS_MISCONFIGURED' })
  expect(failure.message).not.toContain('wrong-secret')
})

test('a worker drains soon after its grace period when Redis is unreachable', async () => {
  await queue.add(jobs(1))
  const { consumer, until } = await consuming(
    (_, { signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  )
  await until(event => event.kind === 'started')
  await redis[Symbol.asyncDispose]()
  await consumer.drain(10)
})
