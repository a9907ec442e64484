// A run whose model was replaced at its endpoint, while the run that replaced it is held: its jobs
// leave the queue, and it continues when its model is back and an operator resumes it.

import { utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { type LocalRedis, startRedis } from '@reembed/local'
import { openQueue, type Queue } from '@reembed/queue'
import { seqKey, shardPrefix } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { type FakeTei, startFakeTei } from '@reembed/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { documents, flags, type Running, start, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { type InProcess, inProcess } from './parts/in-process.ts'

const OLD = 'a'.repeat(40)
const NEW = 'b'.repeat(40)
const PATIENT = { timeout: 60_000, interval: 100 }

let redis: LocalRedis
let tei: FakeTei
let queue: Queue
let worker: Running | undefined
let folder: AsyncDisposable & { readonly path: string }
const output = (): string => join(folder.path, 'out')

beforeEach(async () => {
  ;[redis, tei, folder] = await Promise.all([
    startRedis(),
    startFakeTei({ dimensions: 16, sha: OLD }),
    temporaryFolder(),
  ])
  queue = await openQueue(redis.url)
})
afterEach(async () => {
  worker?.child.kill('SIGKILL')
  await worker?.finished
  worker = undefined
  for (const part of [queue, redis, tei, folder]) await part[Symbol.asyncDispose]()
})

const command = (name: string, args: string[], values: Record<string, string> = {}): Promise<InProcess> =>
  inProcess([name, ...args, ...flags({ output: output(), ...values })])

const startWorker = (): Running =>
  start(['worker', ...flags({ output: output(), endpoint: tei.url, redis: redis.url })])

async function jobsLeft(): Promise<number> {
  const { waiting, active, delayed, failed } = await queue.counts()
  return waiting + active + delayed + failed
}

/** A queued run of the old model, and a newer run of the new model that is held by its rejects. */
async function overtaken(): Promise<{ readonly run: string; readonly shards: number }> {
  const [source, newer] = [join(folder.path, 'old.jsonl'), join(folder.path, 'new.jsonl')]
  await writeJsonl(source, documents(60))
  await writeJsonl(newer, [...documents(60), { id: 'empty', text: '' }])
  const planned = { endpoint: tei.url, 'documents-per-shard': '20' }
  const old = await command('enqueue', ['--json'], { ...planned, source, redis: redis.url })
  expect(old.code, old.stderr).toBe(0)
  await serve(NEW)
  const held = await command('run', ['--json'], { ...planned, source: newer, 'max-rejects': '0' })
  expect(held.code, held.stderr).toBe(3)
  return JSON.parse(old.stdout)
}

async function serve(sha: string): Promise<void> {
  await tei.stop()
  await tei.start({ sha })
}

/** Sets the time at which the first run was planned. */
async function plannedBefore(minutes: number): Promise<void> {
  const at = Date.now() / 1000 - 60 * minutes
  await utimes(join(output(), seqKey(1)), at, at)
}

test('a new model is published or held beside an unfinished run of the old model, whose jobs leave the queue after 30 minutes without a shard and return with resume', async () => {
  const { run, shards } = await overtaken()
  expect(await jobsLeft()).toBe(shards)
  await plannedBefore(31)
  worker = startWorker()
  await worker.line(/job ended without a shard: .*its model was replaced/)
  await expect.poll(jobsLeft, PATIENT).toBe(0)
  const status = await command('status', [run, '--json'])
  expect(JSON.parse(status.stdout)).toMatchObject({
    state: 'paused',
    reason: 'model_replaced',
    sentence: expect.stringMatching(/no worker reached its model \S+@a{40} for 30 minutes.* is finished/),
  })

  // The worker remembers for 30 s which model it met.
  worker.child.kill('SIGKILL')
  await worker.finished
  await serve(OLD)
  worker = startWorker()
  expect((await command('resume', [run], { redis: redis.url })).code).toBe(0)
  await using store = await openStore(output())
  const made = async (): Promise<number> => (await Array.fromAsync(store.list(shardPrefix(run)))).length
  await expect.poll(made, PATIENT).toBe(shards)
})
