// Planning a run for an endpoint that an autoscaler has at zero replicas.

import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis } from '@reembed/local'
import { queueKey } from '@reembed/queue'
import { listenOn, ticksSinceKey } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { documents, flags, type Running, start, temporaryFolder, writeJsonl } from './parts/cli.ts'

const WAKE_KEY = queueKey('wake')
const PATIENT = { timeout: 60_000, interval: 100 }

let redis: LocalRedis
let client: Redis
let folder: AsyncDisposable & { readonly path: string }
let port: number
let planner: Running

beforeEach(async () => {
  ;[redis, folder] = await Promise.all([startRedis(), temporaryFolder()])
  client = new Redis(redis.url)
  const source = await writeJsonl(join(folder.path, 'a.jsonl'), documents(20))
  port = await freePort()
  const parts = { source, output: join(folder.path, 'out'), redis: redis.url }
  const endpoint = `http://127.0.0.1:${port}`
  planner = start(['enqueue', ...flags({ ...parts, endpoint }), '--await-endpoint', '--json'])
})
afterEach(async () => {
  planner.child.kill('SIGKILL')
  await planner.finished
  client.disconnect()
  for (const part of [redis, folder]) await part[Symbol.asyncDispose]()
})

async function freePort(): Promise<number> {
  const server = createServer()
  const url = await listenOn(server, { host: '127.0.0.1', port: 0 }, 'test')
  await new Promise(resolve => server.close(resolve))
  return Number(new URL(url).port)
}

const entries = (): Promise<number> => client.hlen(WAKE_KEY)

test('enqueue with an address without a server leaves an entry for the autoscaler, reports its wait, and plans when the server starts', async () => {
  await expect.poll(entries, PATIENT).toBe(1)
  await planner.line(/endpoint .*no connection \(ECONNREFUSED\)/)
  await using _tei = await serveTei({ engine: createHashEngine({ dimensions: 16 }), port })
  const { code, stdout } = await planner.finished
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ created: true, enqueued: 1 })
  expect(await entries()).toBe(0)
})

test('a schedule tick leaves its entry in the queue and the database that the autoscaler reads', async () => {
  planner.child.kill('SIGKILL')
  await planner.finished
  await using store = await openStore(join(folder.path, 'out'), { create: true })
  await store.putIfAbsent(
    ticksSinceKey('yearly'),
    Buffer.from('{"format":1,"since":"2020-01-01T00:00:00.000Z"}\n'),
  )
  await writeFile(
    join(folder.path, 'reembed.yaml'),
    `version: 1
source: { uri: a.jsonl }
output: { uri: out }
endpoint: { url: http://127.0.0.1:${port}, await: true }
queue: { redis: ${redis.url}, name: nightly }
schedules:
  - { name: yearly, cron: 0 0 1 1 * }
`,
  )
  planner = start(['schedule', 'tick'], { REEMBED_REDIS_DATABASE: '3' }, folder.path)
  await client.select(3)
  await expect.poll(() => client.hlen(queueKey('wake', 'nightly')), PATIENT).toBe(1)
})

test('the entry of a killed planner expires', async () => {
  await expect.poll(entries, PATIENT).toBe(1)
  planner.child.kill('SIGKILL')
  await planner.finished
  const leftMs = await client.pttl(WAKE_KEY)
  expect(leftMs).toBeGreaterThan(0)
  expect(leftMs).toBeLessThanOrEqual(60_000)
})
