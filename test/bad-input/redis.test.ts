// Bad inputs 69 to 77: a Redis in a bad state, and jobs with foreign data.

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { requirePlan } from '@reembed/protocol'
import { inspectRedis, openQueue, QUEUE, REDIS_PREFIX } from '@reembed/queue'
import { shardPrefix } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { openLog } from '@reembed/telemetry'
import { startWorker } from '@reembed/worker'
import { Queue as BullQueue } from 'bullmq'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect } from 'vitest'
import { documents, temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { openGate } from '../parts/gate.ts'
import { inProcess } from '../parts/in-process.ts'
import { bad, embedFiles, expectSaid, expectThrown, good, jsonl, saidIn } from './parts.ts'

let tei: TeiServer
let redis: LocalRedis
let folder: Awaited<ReturnType<typeof temporaryFolder>>
beforeEach(async () => {
  folder = await temporaryFolder()
  ;[tei, redis] = await Promise.all([serveTei({ engine: createHashEngine({ dimensions: 8 }) }), startRedis()])
})
afterEach(async () => {
  for (const part of [tei, redis, folder]) await part[Symbol.asyncDispose]()
})

const files = { 'a.jsonl': jsonl(...good()) }

/** Says something to the Redis of this test, as its operator would. */
async function toRedis(...command: [string, ...string[]]): Promise<void> {
  const client = new Redis(redis.url)
  await client.call(...command)
  client.disconnect()
}

const silent = openLog({ level: 'silent' })

bad(69, async input => {
  await expectThrown(input, inspectRedis('redis://127.0.0.1:1', { timeoutMs: 300 }))
  // A run reports it before it plans, which may wake endpoints: none is at this address.
  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(1))
  const places = [
    '--source',
    source,
    '--output',
    join(folder.path, 'vectors'),
    '--endpoint',
    'http://127.0.0.1:1',
  ]
  const { code, stderr } = await inProcess(['run', ...places, '--redis', 'redis://127.0.0.1:1'])
  expect(code).toBe(5)
  expect(stderr).toContain('no Redis answers at redis://127.0.0.1:1')
})

/** A run of 40 documents in 4 shards on the queue, for workers that the test starts. */
async function enqueued(
  args: readonly string[] = [],
): Promise<{ code: number; said: string; run: string; output: string }> {
  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(40))
  const output = join(folder.path, 'vectors')
  const places = ['--source', source, '--output', output, '--endpoint', tei.url, '--redis', redis.url]
  const made = await inProcess(['enqueue', ...places, '--documents-per-shard', '10', '--json', ...args])
  const run = made.stdout === '' ? '' : JSON.parse(made.stdout).run
  return { code: made.code, said: saidIn(made.stderr), run, output }
}

async function shardsOf(output: string, run: string): Promise<number> {
  await using store = await openStore(output)
  return (await Array.fromAsync(store.list(shardPrefix(run)))).length
}

bad(70, async input => {
  const { run, output } = await enqueued()
  await using gate = await openGate(tei.url)
  // After the first texts, which check the endpoint.
  gate.closeAfter(40)
  const worker = await startWorker({
    redis: redis.url,
    endpoint: gate.url,
    outputs: [output],
    concurrency: 1,
    log: silent,
  })
  await gate.closed
  const before = await shardsOf(output, run)
  await redis[Symbol.asyncDispose]()
  gate.open()
  await expect.poll(() => shardsOf(output, run), { timeout: 60_000 }).toBeGreaterThan(before)
  await worker.drain(0)
  redis = await startRedis()
  const args = ['--source', join(folder.path, 'corpus.jsonl'), '--output', output, '--endpoint', tei.url]
  const { code, stdout } = await inProcess([
    'run',
    ...args,
    '--redis',
    redis.url,
    '--documents-per-shard',
    '10',
    '--json',
  ])
  expect({ code, result: JSON.parse(stdout) }).toMatchObject({
    code: input.exit,
    result: { run, totals: { rows: 40 } },
  })
})

bad(71, async input => {
  await toRedis('CONFIG', 'SET', 'requirepass', 'the-password')
  const { host } = new URL(redis.url)
  const url = `redis://:very-secret@${host}`
  const made = await embedFiles(files, { tei: tei.url, redis: url })
  expect(made.stderr).not.toContain('very-secret')
  expectSaid(input, made)
})

bad(72, async input => {
  await toRedis('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
  expectSaid(input, await embedFiles(files, { tei: tei.url, redis: redis.url }))
})

bad(73, async input => {
  await toRedis('CONFIG', 'SET', 'maxmemory', '1')
  const full = await enqueued()
  await toRedis('CONFIG', 'SET', 'maxmemory', '0')
  const { code, run } = await enqueued()
  await using queue = await openQueue(redis.url)
  await using store = await openStore(join(folder.path, 'vectors'))
  const { shards } = await requirePlan(store, run)
  const none = { active: 0, delayed: 0, failed: 0 }
  expect({ code, shards, ...(await queue.counts()) }).toEqual({ code: 0, shards: 4, waiting: 4, ...none })
  expectSaid(input, full)
})

bad(74, async input => {
  const old = createServer(socket => {
    socket.on('data', data => {
      const asked =
        data
          .toString()
          .toLowerCase()
          .match(/\$\d+\r\n(info|client|hello|select)\r\n/g) ?? []
      const info = '# Server\r\nredis_version:6.0.16\r\nloading:0\r\nmaxmemory_policy:noeviction\r\n'
      for (const command of asked)
        socket.write(/info/.test(command) ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n')
    })
    socket.on('error', () => {})
  }).listen(0, '127.0.0.1')
  await once(old, 'listening')
  await expectThrown(
    input,
    inspectRedis(`redis://127.0.0.1:${(old.address() as AddressInfo).port}`, { timeoutMs: 5_000 }),
  )
  old.close()
})

bad(75, async input => {
  await using gate = await openGate(tei.url)
  gate.closeAfter(60)
  const running = embedFiles(
    { 'a.jsonl': jsonl(...documents(100)) },
    { tei: gate.url, redis: redis.url, args: ['--documents-per-shard', '10', '--concurrency', '2'] },
  )
  await gate.closed
  // A failover: what was the master is a replica for a while, and refuses every write.
  await toRedis('REPLICAOF', '127.0.0.1', '1')
  gate.open()
  await new Promise(resolve => setTimeout(resolve, 1_500))
  await toRedis('REPLICAOF', 'NO', 'ONE')
  const { code, result } = await running
  expect({ code, totals: result.totals }).toMatchObject({
    code: input.exit,
    totals: { documents: 100, rows: 100 },
  })
})

/** The final state of jobs that a foreign program added to the queue. */
async function reasonsOf(jobs: readonly object[]): Promise<string[]> {
  const { output } = await enqueued()
  await toRedis('FLUSHALL')
  const bull = new BullQueue(QUEUE, { connection: { url: redis.url }, prefix: REDIS_PREFIX })
  for (const job of jobs) await bull.add(QUEUE, JSON.parse(JSON.stringify(job).replaceAll('$output', output)))
  await using _worker = await startWorker({
    redis: redis.url,
    endpoint: tei.url,
    outputs: [output],
    log: silent,
  })
  await expect
    .poll(async () => (await bull.getJobCounts('failed')).failed, { timeout: 60_000 })
    .toBe(jobs.length)
  const failed = await bull.getJobs(['failed'])
  await bull.close()
  return failed.map(({ failedReason }) => saidIn(failedReason.replaceAll(output, '<output>')))
}

bad(76, async input => {
  const run = 'a'.repeat(26)
  const reasons = await reasonsOf([
    { output: '$output', run, shard: 0 },
    { output: '$output', run, shard: 0, endpoint: 'http://169.254.169.254/' },
    { output: '$output', run, shard: -1 },
  ])
  expectSaid(input, { code: 1, said: [...new Set(reasons)].sort().join(' | ') })
})

bad(77, async input => {
  expectSaid(input, { code: 1, said: (await reasonsOf([{ r: 'a'.repeat(26), s: 3 }])).join() })
})
