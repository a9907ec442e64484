// Jobs of a run that a version of a newer run supersedes leave the queue; an operator can continue
// the run.

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { setRunState } from '@reembed/protocol'
import { openQueue, type Queue } from '@reembed/queue'
import { shardPrefix } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { documents, flags, type Running, start, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

const PATIENT = { timeout: 60_000, interval: 100 }

let redis: LocalRedis
let tei: TeiServer
let queue: Queue
let worker: Running | undefined
let folder: AsyncDisposable & { readonly path: string }

beforeEach(async () => {
  ;[redis, tei, folder] = await Promise.all([
    startRedis(),
    serveTei({ engine: createHashEngine({ dimensions: 16 }) }),
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

const output = (): string => join(folder.path, 'out')

async function corpus(name: string, count: number): Promise<string> {
  await mkdir(join(folder.path, name))
  await writeJsonl(join(folder.path, name, 'a.jsonl'), documents(count))
  return join(folder.path, name)
}

async function command(name: string, values: Record<string, string>): Promise<Record<string, unknown>> {
  const all = { output: output(), endpoint: tei.url, 'documents-per-shard': '20', ...values }
  const { code, stdout, stderr } = await inProcess([name, ...flags(all), '--json'])
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout)
}

async function shardsOf(run: unknown): Promise<number> {
  await using store = await openStore(output())
  return (await Array.fromAsync(store.list(shardPrefix(String(run))))).length
}

async function jobsLeft(): Promise<number> {
  const { waiting, active, delayed, failed } = await queue.counts()
  return waiting + active + delayed + failed
}

test('a worker gives up the jobs of a superseded run, and processes them after resume continues the run', async () => {
  const [old, newer] = [await corpus('old', 100), await corpus('newer', 120)]
  const first = await command('enqueue', { source: old, redis: redis.url })
  await using store = await openStore(output())
  // While it waits, `run` processes the older runs of its output too.
  await setRunState(store, String(first.run), 'paused')
  const second = await command('run', { source: newer })
  await setRunState(store, String(first.run), 'running')
  expect(second).toMatchObject({ status: 'published' })
  expect(await jobsLeft()).toBe(first.shards)

  const parts = { output: output(), endpoint: tei.url, redis: redis.url }
  worker = start(['worker', ...flags(parts)])
  await worker.line(/job ended without a shard: .*superseded by a newer version/)
  await expect.poll(jobsLeft, PATIENT).toBe(0)
  expect(await shardsOf(first.run)).toBe(0)

  const where = flags({ output: output(), redis: redis.url })
  expect((await inProcess(['resume', String(first.run), ...where])).code).toBe(0)
  await expect.poll(() => shardsOf(first.run), PATIENT).toBe(first.shards)
})
