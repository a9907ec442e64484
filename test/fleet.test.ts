// One producer, several worker processes, one Redis, S3 in and out.

import {
  createHashEngine,
  hashVector,
  type LocalRedis,
  serveTei,
  startRedis,
  type TeiServer,
} from '@reembed/local'
import { openQueue } from '@reembed/queue'
import { readShard } from '@reembed/shard'
import { shardPrefix } from '@reembed/shared'
import { openStore, type S3Options, type Store } from '@reembed/store'
import { openLog } from '@reembed/telemetry'
import { startS3Server } from '@reembed/testing'
import { startWorker } from '@reembed/worker'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { documents, flags, type Running, start } from './parts/cli.ts'
import { type Gate, openGate } from './parts/gate.ts'
import { inProcess } from './parts/in-process.ts'

const COUNT = 2_400
const SHARDS = 12
const DIMENSIONS = 16

let redis: LocalRedis
let tei: TeiServer
let gate: Gate
let s3: Awaited<ReturnType<typeof startS3Server>>
let workers: Running[]
let env: Record<string, string>
let output: Store

beforeEach(async () => {
  workers = []
  s3 = await startS3Server({ buckets: ['corpora', 'vectors'] })
  env = { ...s3.env, REEMBED_LOG: 'debug' }
  ;[tei, redis] = await Promise.all([
    serveTei({ engine: createHashEngine({ dimensions: DIMENSIONS }) }),
    startRedis(),
  ])
  gate = await openGate(tei.url)
  for (const [name, value] of Object.entries(s3.env)) process.env[name] = value
  const options: S3Options = { endpoint: s3.endpoint }
  await using corpus = await openStore('s3://corpora/wiki', { unsafe: true, s3: options })
  for (const part of [0, 1, 2]) {
    const body = documents(COUNT)
      .filter((_, i) => i % 3 === part)
      .map(document => `${JSON.stringify(document)}\n`)
    await corpus.putIfAbsent(`part-${part}.jsonl`, Buffer.from(body.join('')))
  }
  output = await openStore('s3://vectors/wiki', { s3: options })
})
afterEach(async () => {
  for (const { child } of workers) child.kill('SIGKILL')
  await Promise.all(workers.map(({ finished }) => finished))
  for (const part of [output, gate, tei, redis, s3]) await part[Symbol.asyncDispose]()
  for (const name of Object.keys(s3.env)) delete process.env[name]
})

const parts = () => ['--endpoint', gate.url, '--redis', redis.url]

const enqueue = (output = 's3://vectors/wiki') =>
  inProcess(
    [
      'enqueue',
      ...flags({
        source: 's3://corpora/wiki',
        output,
        'documents-per-shard': String(COUNT / SHARDS),
      }),
      '--json',
      ...parts(),
    ],
    env,
  )

async function startWorkers(count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) {
    workers.push(start(['worker', '--output', 's3://vectors/', '--concurrency', '2', ...parts()], env))
  }
  await Promise.all(workers.map(({ line }) => line(/worker started/)))
}

/** Any worker's sweep ends the run. */
const published = (): Promise<unknown> => Promise.any(workers.map(({ line }) => line(/"state":"published"/)))

/** Every document once, each with the very vector of its text. */
async function expectEveryDocumentOnce(run: string): Promise<void> {
  const seen = new Map<string, Float32Array>()
  for await (const { key } of output.list(shardPrefix(run))) {
    for await (const { ids, vectors } of readShard(output, key)) {
      for (const [row, id] of ids.entries()) {
        expect(seen.has(id)).toBe(false)
        seen.set(id, vectors.slice(row * DIMENSIONS, (row + 1) * DIMENSIONS))
      }
    }
  }
  expect(seen.size).toBe(COUNT)
  for (const { id, text } of documents(COUNT)) {
    expect(seen.get(id)).toEqual(hashVector(text, { dimensions: DIMENSIONS }))
  }
}

test('three workers embed every document exactly once when they share a run over S3', async () => {
  const { code, stdout } = await enqueue()
  expect(code).toBe(0)
  const { run, shards } = JSON.parse(stdout)
  await startWorkers(3)
  await published()
  await expectEveryDocumentOnce(run)
  expect((await inProcess(['verify', '--output', 's3://vectors/wiki'], env)).code).toBe(0)
  // No work was lost: no shard was paid for twice. The other texts are canaries and references.
  const texts = new Set(documents(COUNT).map(({ text }) => text))
  const paid = gate.sent.filter(text => texts.has(text)).length
  expect(paid).toBeLessThan(COUNT + COUNT / SHARDS)
  expect(shards).toBeGreaterThanOrEqual(SHARDS)
})

test('P-CHAOS P-HANDBACK: a worker exits with code 0 on SIGTERM and other workers take its jobs at once', async () => {
  const { run } = JSON.parse((await enqueue()).stdout)
  gate.closeAfter(COUNT / 3)
  await startWorkers(2)
  await gate.closed
  const leaver = workers[0]
  leaver?.child.kill('SIGTERM')
  gate.open()
  const left = await leaver?.finished
  expect(left?.code).toBe(0)
  const last = left?.stderr.trimEnd().split('\n').at(-1) ?? ''
  expect(JSON.parse(last)).toMatchObject({ level: 'info', reason: 'received SIGTERM', msg: 'worker stopped' })
  await published()
  await expectEveryDocumentOnce(run)
})

test('P-CHAOS: no document is lost or doubled when a worker is killed in the middle of a run', async () => {
  const { run } = JSON.parse((await enqueue()).stdout)
  gate.closeAfter(COUNT / 3)
  await startWorkers(3)
  await gate.closed
  workers.shift()?.child.kill('SIGKILL')
  gate.open()
  await published()
  await expectEveryDocumentOnce(run)
  expect((await inProcess(['verify', '--output', 's3://vectors/wiki'], env)).code).toBe(0)
})

test('a worker works past the jobs of an output that it does not serve and leaves them to other workers', async () => {
  const { run, shards } = JSON.parse((await enqueue()).stdout)
  expect((await enqueue('s3://vectors/other')).code).toBe(0)
  const other = start(['worker', '--output', 's3://vectors/other', ...parts()], env)
  workers.push(other)
  await other.line(/"state":"published"/)
  await using queue = await openQueue(redis.url)
  const ofRun = { output: 's3://vectors/wiki', run }
  expect(await queue.counts(ofRun)).toEqual({ waiting: shards, active: 0, delayed: 0, failed: 0 })
  const serving = start(['worker', '--output', 's3://vectors/wiki', ...parts()], env)
  workers.push(serving)
  await serving.line(/"state":"published"/)
  await expectEveryDocumentOnce(run)
})

test('each of two workers in one process registers a name, and so a share of the limit, of its own', async () => {
  await using queue = await openQueue(redis.url)
  const options = { redis: redis.url, endpoint: tei.url, outputs: [], log: openLog({ level: 'silent' }) }
  await using _one = await startWorker(options)
  await using _two = await startWorker(options)
  await expect
    .poll(async () => new Set((await queue.workers()).map(({ worker }) => worker)).size, { timeout: 60_000 })
    .toBe(2)
})
