// A run that was interrupted, done before, or whose Redis forgot everything.

import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { documents, flags, start, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { type Gate, openGate } from './parts/gate.ts'
import { inProcess } from './parts/in-process.ts'

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

test('a repeated command embeds nothing and says so when the run is finished', async () => {
  const first = await inProcess(run)
  expect(first.code).toBe(0)
  expect(JSON.parse(first.stdout)).toMatchObject({
    status: 'published',
    version: 1,
    totals: { rows: COUNT, rejects: 0 },
  })
  const before = gate.texts
  const again = await inProcess(run.filter(arg => arg !== '--json'))
  expect(again.code).toBe(0)
  expect(again.stdout).toMatch(/nothing to do/)
  // Only the few texts that show which model the endpoint serves.
  expect(gate.texts - before).toBeLessThan(128)
})

test('an interrupted run continues, without embedding its finished shards again, when the command is repeated', async () => {
  gate.closeAfter(COUNT / 2)
  const first = start(run)
  await gate.closed
  first.child.kill('SIGINT')
  const { code, stderr } = await first.finished
  expect(code).toBe(130)
  expect(stderr).toMatch(/the same command continues/)
  gate.open()
  const again = await inProcess(run)
  expect(again.code).toBe(0)
  expect(JSON.parse(again.stdout).totals).toMatchObject({ documents: COUNT, rows: COUNT, rejects: 0 })
  // One shard was under way when it was stopped; nothing else is paid twice. A canary rides in
  // every request.
  expect(gate.texts).toBeLessThan(1.04 * (COUNT + COUNT / SHARDS) + 2 * 128)
  expect((await inProcess(['verify', '--output', output])).code).toBe(0)
})

test('an interrupted run keeps what its unfinished shards have: only texts in flight are embedded again', async () => {
  // One shard, so that nothing is finished when it is interrupted.
  const one = run.map(arg => (arg === String(COUNT / SHARDS) ? String(COUNT) : arg))
  gate.closeAfter(COUNT / 2)
  const first = start(one)
  await gate.closed
  first.child.kill('SIGINT')
  expect((await first.finished).code).toBe(130)
  const answered = new Set(gate.sent.filter(text => text.startsWith('document ')))
  gate.open()
  const before = gate.sent.length
  const again = await inProcess(one)
  expect(again.code).toBe(0)
  const { totals } = JSON.parse(again.stdout)
  // Vectors of the first attempt belong to this run: they are not reused from another one.
  expect(totals).toMatchObject({ documents: COUNT, rows: COUNT, rejects: 0, reused: 0 })
  const sentAgain = gate.sent.slice(before).filter(text => answered.has(text))
  expect(answered.size).toBeGreaterThan(COUNT / 4)
  expect(sentAgain).toEqual([])
  expect((await inProcess(['verify', '--output', output])).code).toBe(0)
})

test('an id that occurs twice ends the run when its second shard is made, and the corrected corpus embeds only the rest', async () => {
  // Beyond the 64 KiB that planning samples of a file of this size.
  const repeated = documents(COUNT).map((line, i) => (i === 1_500 ? { ...line, id: 'd10' } : line))
  const source = join(folder.path, 'corpus.jsonl')
  await writeJsonl(source, repeated)
  const refused = await inProcess(run)
  expect(refused.code).toBe(4)
  expect(refused.stderr).toMatch(/duplicate ids: "d10" \(in shards 0 and 6\)/)
  expect(textsOf(gate.sent).length).toBeLessThan(COUNT)
  await writeJsonl(source, documents(COUNT))
  const fixed = await inProcess(run)
  expect(fixed.code).toBe(0)
  expect(JSON.parse(fixed.stdout).totals).toMatchObject({ documents: COUNT, rows: COUNT })
  expect(textsOf(gate.sent)).toHaveLength(COUNT)
})

const textsOf = (sent: readonly string[]): string[] => sent.filter(text => text.startsWith('document '))

test('P-CHAOS I8: a run loses no document and embeds no finished shard again when Redis is emptied in the middle', async () => {
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
  expect((await inProcess(['verify', '--output', output])).code).toBe(0)
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
