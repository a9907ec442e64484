// A run that was interrupted, done before, or whose Redis forgot everything.

import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { documents, flags, reembed, start, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { type Gate, openGate } from './parts/gate.ts'

const COUNT = 2_000
const SHARDS = 8

let redis: LocalRedis
let tei: TeiServer
let gate: Gate
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let run: string[]
let output: string

beforeEach(async () => {
  folder = await temporaryFolder()
  ;[tei, redis] = await Promise.all([
    serveTei({ engine: createHashEngine({ dimensions: 16 }) }),
    startRedis(),
  ])
  gate = await openGate(tei.url)
  output = join(folder.path, 'vectors')
  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(COUNT))
  run = ['run', ...flags({ source, output, endpoint: gate.url }), '--json', '--concurrency', '1']
  run.push('--documents-per-shard', String(COUNT / SHARDS))
})
afterEach(async () => {
  for (const part of [gate, tei, redis, folder]) await part[Symbol.asyncDispose]()
})

test('the same command again embeds nothing and says so', async () => {
  const first = await reembed(run)
  expect(first.code).toBe(0)
  expect(JSON.parse(first.stdout)).toMatchObject({
    status: 'published',
    version: 1,
    totals: { rows: COUNT, rejects: 0 },
  })
  const before = gate.texts
  const again = await reembed(run.filter(arg => arg !== '--json'))
  expect(again.code).toBe(0)
  expect(again.stdout).toMatch(/nothing to do/)
  // Only the few texts that show which model the endpoint serves.
  expect(gate.texts - before).toBeLessThan(128)
})

test('an interrupted run goes on where it was, and finished shards are not embedded again', async () => {
  gate.closeAfter(COUNT / 2)
  const first = start(run)
  await gate.closed
  first.child.kill('SIGINT')
  const { code, stderr } = await first.finished
  expect(code).toBe(130)
  expect(stderr).toMatch(/the same command continues/)
  gate.open()
  const again = await reembed(run)
  expect(again.code).toBe(0)
  expect(JSON.parse(again.stdout).totals).toMatchObject({ documents: COUNT, rows: COUNT, rejects: 0 })
  // One shard was under way when it was stopped; nothing else is paid twice. A canary rides in every request.
  expect(gate.texts).toBeLessThan(1.04 * (COUNT + COUNT / SHARDS) + 2 * 128)
  expect((await reembed(['verify', '--output', output])).code).toBe(0)
})

test('a Redis emptied in the middle of a run loses nothing, and finished shards are not embedded again', async () => {
  gate.closeAfter(COUNT / 2)
  const running = start([...run, '--redis', redis.url])
  await gate.closed
  await using client = await connect(redis.url)
  await client.redis.flushall()
  gate.open()
  const { code, stdout } = await running.finished
  expect(code).toBe(0)
  expect(JSON.parse(stdout).totals).toMatchObject({ documents: COUNT, rows: COUNT, rejects: 0 })
  expect(gate.texts).toBeLessThan(1.04 * (COUNT + (2 * COUNT) / SHARDS) + 128)
  expect((await reembed(['verify', '--output', output])).code).toBe(0)
})

async function connect(url: string) {
  const redis = new Redis(url)
  return {
    redis,
    async [Symbol.asyncDispose]() {
      redis.disconnect()
    },
  }
}
