// Several outputs that share one Redis. The same corpus gives both the same run id, so every name
// in Redis must contain the output.

import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis } from '@reembed/local'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { documents, flags, type Running, start, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

const DOCUMENTS = 40

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let redis: LocalRedis
let tei: Awaited<ReturnType<typeof serveTei>>
let source: string
let workers: Running[]

beforeEach(async () => {
  workers = []
  folder = await temporaryFolder()
  redis = await startRedis()
  tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
  source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(DOCUMENTS))
})
afterEach(async () => {
  for (const { child } of workers) child.kill('SIGTERM')
  await Promise.all(workers.map(({ finished }) => finished))
  for (const part of [tei, redis, folder]) await part[Symbol.asyncDispose]()
})

const pathOf = (name: string): string => join(folder.path, name)
const given = (...names: string[]): string[] => [
  ...names.flatMap(name => ['--output', pathOf(name)]),
  ...flags({ endpoint: tei.url, redis: redis.url }),
]
const enqueue = async (name: string) => {
  const made = await inProcess([
    'enqueue',
    ...flags({ source, 'documents-per-shard': '5' }),
    '--json',
    ...given(name),
  ])
  expect(made.code, made.stderr).toBe(0)
  return JSON.parse(made.stdout) as { run: string; shards: number; enqueued: number }
}
const startWorker = (...names: string[]): Running => {
  const worker = start(['worker', ...given(...names)])
  workers.push(worker)
  return worker
}
const statusOf = async (name: string) => {
  const made = await inProcess(['status', '--json', ...flags({ output: pathOf(name), redis: redis.url })])
  expect(made.code, made.stderr).toBe(0)
  return JSON.parse(made.stdout)
}
const published = /"state":"published"/

test.each([
  { name: 'a worker for the first output, then a worker for the second', serve: [['dev'], ['prod']] },
  { name: 'a worker for the second output, then a worker for the first', serve: [['prod'], ['dev']] },
  { name: 'one worker for both', serve: [['dev', 'prod']] },
])('the same corpus in two outputs on one Redis: both runs end, with $name', async ({ serve }) => {
  const first = await enqueue('dev')
  const second = await enqueue('prod')
  expect(second.run).toBe(first.run)
  expect([first.enqueued, second.enqueued, (await enqueue('dev')).enqueued]).toEqual([
    first.shards,
    first.shards,
    0,
  ])

  for (const names of serve) {
    const worker = startWorker(...names)
    if (names.length === 1) await worker.line(published)
    else await expect.poll(() => statesOf(names), { timeout: 60_000 }).toEqual(['published', 'published'])
  }
  for (const name of ['dev', 'prod']) {
    const { state, queue } = await statusOf(name)
    expect([name, state, queue.progress.documents, queue.progress.shards]).toEqual([
      name,
      'published',
      DOCUMENTS,
      first.shards,
    ])
    const verified = await inProcess(['verify', '--output', pathOf(name)])
    expect(verified.code, verified.stderr).toBe(0)
  }
})

test('status states that no worker serves the output, and a worker beside foreign jobs logs nothing of them', async () => {
  await enqueue('dev')
  await enqueue('prod')
  const worker = startWorker('dev')
  await worker.line(published)
  expect((await statusOf('prod')).queue.jobs.waiting).toBeGreaterThan(0)
  const text = await inProcess(['status', ...flags({ output: pathOf('prod'), redis: redis.url })])
  expect(text.stdout).toMatch(/workers +no worker serves this output/)
  expect((await statusOf('dev')).queue.workers).toMatchObject([{ outputs: [pathOf('dev')] }])
  worker.child.kill('SIGTERM')
  const { stderr } = await worker.finished
  expect(stderr).not.toContain('prod')
  expect(stderr).not.toMatch(/"level":"(warn|error)"/)
})

/** One after the other: the output of commands in this process is captured. */
async function statesOf(names: readonly string[]): Promise<string[]> {
  const states: string[] = []
  for (const name of names) states.push((await statusOf(name)).state)
  return states
}
