// Loads by the workers of a queue, on a real Redis. test/load/fleet-kills.test.ts kills processes.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { startRedis } from '@reembed/local'
import { openQueue, type Queue, storeKey } from '@reembed/queue'
import { faultOf } from '@reembed/shared'
import { createShardLoader, loadRun, openVectorStore } from '@reembed/sinks'
import { openStore, type Store } from '@reembed/store'
import { openLog } from '@reembed/telemetry'
import { startWorker, type Worker, type WorkerOptions } from '@reembed/worker'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { connectRedis } from '../../packages/queue/src/redis-client.ts'
import { writtenByFleet } from '../../packages/sinks/src/load/fleet.ts'
import { makeRun } from '../export/run.ts'
import { temporaryFolder } from '../parts/cli.ts'
import { type QdrantStandIn, startQdrant } from '../parts/qdrant.ts'

const KEY = 'a-key'
let stack: AsyncDisposableStack
let redis: { readonly url: string }
let queue: Queue
let server: QdrantStandIn
let output: Store
let url: string

beforeEach(async () => {
  vi.stubEnv('QDRANT_API_KEY', KEY)
  stack = new AsyncDisposableStack()
  const { path } = stack.use(await temporaryFolder())
  redis = stack.use(await startRedis())
  server = stack.use(await startQdrant(KEY))
  queue = stack.use(await openQueue(redis.url, { settleMs: 200 }))
  output = stack.use(await openStore(path))
  url = `qdrant+${server.url}`
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await stack.disposeAsync()
})

/** A worker without an endpoint: loads need none. */
async function worker(
  options: Partial<WorkerOptions> = { loader: createShardLoader([url]) },
): Promise<Worker> {
  return stack.use(
    await startWorker({
      redis: redis.url,
      endpoint: 'http://127.0.0.1:9',
      outputs: [output.url],
      concurrency: 2,
      log: openLog({ level: 'silent' }),
      ...options,
    }),
  )
}

/** Resolves when `count` workers have sent a heartbeat. */
const heard = (count: number) => expect.poll(() => queue.workers(), { timeout: 20_000 }).toHaveLength(count)

const idsIn = (target: string): string[] =>
  Array.from(server.collections.get(target)?.points.values() ?? [], ({ payload }) =>
    String(payload.id),
  ).sort()

test('workers that name the store write every shard once, and the caller proves the load', async () => {
  const run = await makeRun(output, { shards: 6 })
  await worker()
  await worker()
  await worker({})
  await heard(3)
  await using vectors = await openVectorStore(url)
  const { proof, record, written } = await loadRun(output, run.manifest, vectors, { queue })
  expect(written).toEqual({ shards: 6, rows: 600, byWorkers: true })
  expect(proof).toMatchObject({ shards: 6, rows: 600, refused: 0 })
  expect(idsIn(record.target)).toEqual([...run.ids].sort())
  const of = { output: output.url, run: run.manifest.run, load: { id: proof.load, store: storeKey(url) } }
  await expect.poll(() => queue.counts(of)).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 })
  const again = await loadRun(output, run.manifest, vectors, { queue })
  expect(again.written).toEqual({ shards: 0, rows: 0, byWorkers: false })
})

test('without a worker that names the store, the caller writes the shards', async () => {
  const { manifest } = await makeRun(output)
  await worker({})
  await worker({ loader: createShardLoader(['qdrant+http://127.0.0.1:9']) })
  await heard(2)
  await using vectors = await openVectorStore(url)
  const { written } = await loadRun(output, manifest, vectors, { queue })
  expect(written).toEqual({ shards: 3, rows: 300, byWorkers: false })
})

test('jobs that Redis has lost are added again', async () => {
  const run = await makeRun(output, { shards: 12 })
  const [flushed, begun] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const loader = createShardLoader([url])
  let jobs = 0
  await worker({
    loader: {
      ...loader,
      async load(...job) {
        jobs += 1
        if (jobs === 3) begun.resolve()
        if (jobs >= 3) await flushed.promise
        return loader.load(...job)
      },
    },
  })
  await heard(1)
  await using vectors = await openVectorStore(url)
  const loading = loadRun(output, run.manifest, vectors, { queue })
  await begun.promise
  const client = connectRedis(redis.url)
  await client.flushall()
  client.disconnect()
  flushed.resolve()
  const { written, record } = await loading
  expect(written).toEqual({ shards: 12, rows: 1_200, byWorkers: true })
  expect(idsIn(record.target)).toEqual([...run.ids].sort())
}, 180_000)

test('a loader with a wrong key states the variable, and that the worker is at fault', async () => {
  const { manifest } = await makeRun(output)
  await using vectors = await openVectorStore(url)
  const { proof } = await loadRun(output, manifest, vectors)
  await rm(join(output.url, 'runs', manifest.run, 'loads'), { recursive: true })
  vi.stubEnv('QDRANT_API_KEY', 'wrong')
  await using loader = createShardLoader([url])
  const load = { id: proof.load, store: storeKey(url) }
  const job = { output: output.url, run: manifest.run, shard: 0, load }
  const error = await loader.load(output, job, {}).catch((error: unknown) => error)
  expect(error).toMatchObject({
    code: 'STORE_ACCESS_DENIED',
    message: expect.stringMatching(
      /denies access \(40[13]\).*this process takes them from .* QDRANT_API_KEY/,
    ),
  })
  expect(faultOf(error)).toBe('worker')
})

test('a job of a load whose target was dropped writes nothing into the target of the next load', async () => {
  const run = await makeRun(output)
  await using vectors = await openVectorStore(url)
  const { proof, record } = await loadRun(output, run.manifest, vectors)
  await using loader = createShardLoader([url])
  const { run: id } = run.manifest
  const job = { output: output.url, run: id, shard: 0, load: { id: proof.load, store: storeKey(url) } }
  await vectors.drop(record.target)
  await rm(join(output.url, 'runs', id, 'loads'), { recursive: true })
  expect(await loader.load(output, job, {})).toBeUndefined()
  await vectors.prepare({ name: 'embeddings', target: record.target, manifest: run.manifest, extra: [] })
  expect(await loader.load(output, job, {})).toBeUndefined()
  expect(await vectors.count(record.target)).toBe(0)
})

test('a worker connects to no store that an order names and it was not started with', async () => {
  const { manifest } = await makeRun(output)
  await using vectors = await openVectorStore(url)
  const { proof } = await loadRun(output, manifest, vectors)
  await using loader = createShardLoader(['qdrant+http://127.0.0.1:9'])
  const load = { id: proof.load, store: storeKey(url) }
  await expect(
    loader.load(output, { output: output.url, run: manifest.run, shard: 0, load }, {}),
  ).rejects.toMatchObject({ code: 'JOB_INVALID', retry: 'requeue', message: expect.stringContaining(url) })
})

test('a load ends with an error if its workers find another store under the address', async () => {
  const { manifest } = await makeRun(output)
  await worker({ loader: { ...createShardLoader([url]), load: async () => undefined } })
  await heard(1)
  await using vectors = await openVectorStore(url)
  await expect(loadRun(output, manifest, vectors, { queue })).rejects.toMatchObject({
    code: 'SHARD_FAILED',
    message: expect.stringContaining('a worker finds another store under that address'),
  })
}, 60_000)

test('a load ends with an error if its target is dropped meanwhile', async () => {
  const { manifest } = await makeRun(output)
  await using vectors = await openVectorStore(url)
  const loader = createShardLoader([url])
  let target = ''
  await worker({
    loader: {
      ...loader,
      async load(...job) {
        await vectors.drop(target)
        return loader.load(...job)
      },
    },
  })
  await heard(1)
  const watched = {
    ...vectors,
    prepare(...[prepared]: Parameters<typeof vectors.prepare>) {
      target = prepared.target
      return vectors.prepare(prepared)
    },
  }
  await expect(loadRun(output, manifest, watched, { queue })).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringMatching(/does not hold the load .* any more: load the run again/),
  })
}, 60_000)

test('a load ends with its failure although Redis does not keep every failed job', async () => {
  const { manifest } = await makeRun(output)
  const kept = { waiting: 0, active: 0, delayed: 0, failed: 1 }
  const evicting = {
    ...queue,
    add: async () => 2,
    counts: async () => kept,
    failures: async () => [{ shard: 1, reason: 'the disk is full' }] as never,
  }
  const vectors = { address: url, holds: async () => 'a-load' }
  const load = { manifest, load: 'a-load', target: 'a-target', done: new Set<number>() }
  await expect(Array.fromAsync(writtenByFleet(output, evicting, vectors, load, {}))).rejects.toMatchObject({
    code: 'SHARD_FAILED',
    message: expect.stringContaining('3 shards, among them 1, of run'),
  })
}, 60_000)

test('workers do not write into a store that takes one writer', async () => {
  const { manifest } = await makeRun(output)
  await worker()
  await heard(1)
  await using vectors = await openVectorStore(url)
  const { written } = await loadRun(output, manifest, { ...vectors, embedded: true }, { queue })
  expect(written).toEqual({ shards: 3, rows: 300, byWorkers: false })
})
