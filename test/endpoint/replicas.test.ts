// Replicas addressed individually: a list of URLs, or every address of a name. Whole jobs, JSONL in
// and Parquet out, over HTTP; fakes, client and resolver share a clock that runs twenty times as
// fast.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type EndpointOptions,
  ensureReference,
  modelOf,
  openEndpoint,
  type ReplicaEvent,
} from '@reembed/endpoint'
import { hashVector, startRedis } from '@reembed/local'
import { openCorpus, planRun, recordPlan } from '@reembed/planner'
import { enqueueMissing } from '@reembed/producer'
import type { Document, Plan } from '@reembed/protocol'
import { countPresent, shardsPresent } from '@reembed/protocol'
import { openQueue } from '@reembed/queue'
import { readShard } from '@reembed/shard'
import { ReembedError, shardKey } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'
import { createFastClock, type FakeTei, type FakeTeiOptions, startFakeTei } from '@reembed/testing'
import { createEmbedder, createRunCache, type Embedder, processJob } from '@reembed/worker'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Running, start, writeJsonl } from '../parts/cli.ts'

const MODEL = { model: 'fake/model', sha: 'r1', dimensions: 16 }
/** Says that it is the same, and is not. */
const OTHER: FakeTeiOptions = { ...MODEL, sha: 'r2', reportedModel: { id: 'fake/model', sha: 'r1' } }
const COUNT = 3_000
const PER_SHARD = 100
const DEADLINE_MS = 60_000
/** Other systems have a single loopback address, unless told. */
const hasAddresses = process.platform === 'linux'

const clock = createFastClock(20)
const texts = Array.from({ length: COUNT }, (_, i) => ({
  id: `d${i}`,
  text: `number ${i}${' word'.repeat(i % 20)}`,
}))
const stack: AsyncDisposable[] = []
let folder: string
let store: Store
let plan: Plan
let events: ReplicaEvent[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-'))
  events = []
  store = await openStore(join(folder, 'vectors'), { create: true })
  stack.push(store)
})
afterEach(async () => {
  for (const each of stack.splice(0).reverse()) await each[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

async function fakes(count: number, options: FakeTeiOptions = {}, areHosts = false): Promise<FakeTei[]> {
  const all: FakeTei[] = []
  for (let i = 0; i < count; i++) {
    const port = areHosts && all[0] ? Number(new URL(all[0].url).port) : undefined
    const host = areHosts ? { hostname: `127.0.0.${i + 2}`, ...(port && { port }) } : {}
    all.push(await startFakeTei({ ...MODEL, baseMs: 20, msPerToken: 0.05, clock, ...host, ...options }))
  }
  stack.push(...all)
  return all
}

/** Planned and its model settled with `tei`, as `reembed enqueue` does. */
async function planWith(tei: FakeTei): Promise<void> {
  const source = await writeJsonl(join(folder, 'corpus.jsonl'), texts)
  await using corpus = await openCorpus(source, {})
  await using endpoint = await openEndpoint(tei.url)
  await ensureReference(store, endpoint)
  const planned = await planRun(corpus, { model: modelOf(endpoint), documentsPerShard: PER_SHARD })
  ;({ plan } = await recordPlan(store, planned))
}

function embedderOf(url: string, options: EndpointOptions = {}): Embedder {
  const embedder = createEmbedder(url, options, { clock, onReplica: event => void events.push(event) })
  stack.push(embedder)
  return embedder
}

/** Makes all shards, two at once; what may be tried again later is. */
async function embedAll(url: string): Promise<string> {
  const runs = createRunCache({ outputs: [store.url] })
  const embedder = embedderOf(url)
  stack.push(runs)
  const context = { signal: AbortSignal.timeout(DEADLINE_MS), reportDocuments: () => {} }
  let next = 0
  const lane = async (): Promise<void> => {
    for (let shard = next++; shard < plan.shards; shard = next++) {
      const job = { output: store.url, run: plan.run, shard }
      for (let isDone = false; !isDone; ) {
        isDone = await processJob(job, await runs.open(job), embedder, context).then(() => true, later)
      }
    }
  }
  await Promise.all([lane(), lane()])
  return embedder.state
}

/** Waits as long as the queue would. */
async function later(error: unknown): Promise<false> {
  if (!(error instanceof ReembedError && error.retry === 'requeue')) throw error
  await clock.sleep(error.retryAfterMs ?? 1_000)
  return false
}

/**
 * One long job: texts as long as it `goesOn`, each vector compared. Returns the endpoint's state at
 * its end.
 */
async function embedWhile(goesOn: () => boolean, url: string, options?: EndpointOptions): Promise<string> {
  const signal = AbortSignal.timeout(DEADLINE_MS)
  const embedder = embedderOf(url, options)
  await using runs = createRunCache({ outputs: [store.url] })
  const run = await runs.open({ output: store.url, run: plan.run, shard: 0 })
  let sent = 0
  let back = 0
  function* records(): Generator<Document> {
    for (; goesOn() || sent % 64 > 0; sent++)
      yield { kind: 'document', id: `${sent}`, text: `text ${sent}`, position: { part: 0, offset: sent } }
  }
  async function* source(): AsyncGenerator<Document> {
    for (const record of records()) yield record
  }
  for await (const { documents, vectors } of embedder.embed(run, source(), { signal })) {
    for (const [row, { id, text }] of documents.entries()) {
      expect(id).toBe(`${back++}`)
      expect(vectors.subarray(row * MODEL.dimensions, (row + 1) * MODEL.dimensions)).toEqual(
        hashVector(text, MODEL),
      )
    }
  }
  expect(back).toBe(sent)
  return embedder.state
}

/** Every document once, each with the very vector that the model has for its text. */
async function expectEveryVector(): Promise<void> {
  const seen = new Map<string, Float32Array>()
  for (let shard = 0; shard < plan.shards; shard++) {
    for await (const { ids, vectors } of readShard(store, shardKey(plan.run, shard, plan.shards))) {
      for (const [row, id] of ids.entries()) {
        expect(seen.has(id)).toBe(false)
        seen.set(id, vectors.slice(row * MODEL.dimensions, (row + 1) * MODEL.dimensions))
      }
    }
  }
  expect(seen.size).toBe(COUNT)
  for (const { id, text } of texts) expect(seen.get(id)).toEqual(hashVector(text, MODEL))
}

const listOf = (all: readonly FakeTei[]): string => all.map(({ url }) => url).join(',')

async function until(isSo: () => boolean): Promise<void> {
  const deadline = AbortSignal.timeout(DEADLINE_MS)
  while (!isSo()) {
    if (deadline.aborted) throw new Error(`not so: ${isSo}; ${JSON.stringify(events)}`)
    await clock.sleep(100)
  }
}

/** Calls `act` with the request of this number at `tei`, once. */
function at(tei: FakeTei, count: number, act: () => Promise<unknown>): Promise<unknown> {
  const acted = Promise.withResolvers<unknown>()
  const from = tei.counts.received
  tei.faults.request = ({ number }) => {
    if (number === from + count) acted.resolve(act())
    return undefined
  }
  return acted.promise
}

test('a list of replicas is one endpoint: all of them work, and every document comes out once', async () => {
  const all = await fakes(3)
  const [first] = all
  if (first) await planWith(first)
  expect(await embedAll(listOf(all))).toMatch(/^ok, limit \d+$/)
  await expectEveryVector()
  const shares = all.map(({ counts }) => counts.inputs / COUNT)
  expect(Math.min(...shares)).toBeGreaterThan(0.15)
})

test('a slow replica gets fewer requests, and delays no others', async () => {
  const quick = await fakes(2)
  const slow = await fakes(1, { baseMs: 400, msPerToken: 1 })
  const [first] = quick
  if (first) await planWith(first)
  await embedAll(listOf([...quick, ...slow]))
  await expectEveryVector()
  const [least = 0, most = 0] = [
    slow[0]?.counts.inputs,
    Math.min(...quick.map(({ counts }) => counts.inputs)),
  ]
  expect(least).toBeLessThan(most / 1.5)
})

test('a replica that dies is left out, and used again when it is back; the endpoint never counts as away', async () => {
  const all = await fakes(3)
  const [first, , dying] = all
  if (!first || !dying) throw new Error('three fakes')
  await planWith(first)
  let isBack = false
  const embedded = embedWhile(() => !isBack, listOf(all))
  await at(dying, 20, () => dying.crash())
  await until(() => events.some(({ kind, replica }) => kind === 'ejected' && replica === dying.url))
  const before = dying.counts.inputs
  await dying.start()
  await until(() => dying.counts.inputs > before + 100)
  isBack = true
  expect(await embedded).toMatch(/^ok, limit \d+/)
})

test.runIf(hasAddresses)(
  'a name is resolved again: new addresses get work, old ones no more (Linux: needs 127.0.0.2 and up)',
  async () => {
    const all = await fakes(3, {}, true)
    const [first, second, third] = all
    if (!first || !second || !third) throw new Error('three fakes')
    await planWith(first)
    const hosts = new Set<string | undefined>()
    third.faults.request = ({ headers }) => {
      hosts.add(headers.host)
      return undefined
    }
    let addresses = ['127.0.0.2', '127.0.0.3']
    let isOver = false
    const { port } = new URL(first.url)
    const embedded = embedWhile(() => !isOver, `dns+http://tei.test:${port}`, {
      resolve: async () => addresses,
    })
    await until(() => first.counts.requests > 20 && second.counts.requests > 20)
    addresses = [...addresses, '127.0.0.4']
    await until(() => third.counts.requests > 20)
    // A pod that ends: its name forgets it, what it has it finishes.
    addresses = ['127.0.0.3', '127.0.0.4']
    await until(() => events.some(({ kind, replica }) => kind === 'removed' && replica.includes('127.0.0.2')))
    const others = second.counts.received
    await until(() => second.counts.received > others + 20)
    const before = first.counts.received
    // An answer without addresses is the resolver's trouble.
    addresses = []
    const looked = third.counts.received
    await until(() => third.counts.received > looked + 100)
    isOver = true
    await embedded
    expect(first.counts.received).toBe(before)
    expect(hosts).toEqual(new Set([`tei.test:${port}`]))
    expect(events.filter(({ kind }) => kind === 'removed')).toHaveLength(1)
  },
)

test('only the replica with other weights under the same name is quarantined, until it has the right ones', async () => {
  const good = await fakes(2)
  const [bad] = await fakes(1, OTHER)
  const [first] = good
  if (!first || !bad) throw new Error('three fakes')
  await planWith(first)
  let isOver = false
  const embedded = embedWhile(() => !isOver, listOf([...good, bad]))
  await until(() => first.counts.requests > 20 && events.some(({ kind }) => kind === 'quarantined'))
  // What proves the model, and nothing else.
  expect(bad.counts.inputs).toBeLessThan(COUNT / 4)
  await bad.stop()
  await bad.start({ ...MODEL, reportedModel: undefined })
  await until(() => bad.counts.inputs > 500)
  isOver = true
  expect(await embedded).toMatch(/^ok, limit \d+$/)
  expect(events.filter(({ kind }) => kind === 'quarantined')).toMatchObject([
    {
      replica: bad.url,
      reason: expect.stringContaining('its vectors differ from the stored ones of fake/model@r1'),
    },
  ])
})

test('weights that change under way are found by the canary in the next reply of that replica', async () => {
  const all = await fakes(3)
  const [first, , turning] = all
  if (!first || !turning) throw new Error('three fakes')
  await planWith(first)
  let isOver = false
  const embedded = embedWhile(() => !isOver, listOf(all))
  await at(turning, 30, async () => {
    await turning.stop()
    await turning.start(OTHER)
  })
  await until(() => events.some(({ kind }) => kind === 'quarantined'))
  isOver = true
  expect(await embedded).toMatch(/1 of 3 replicas quarantined$/)
  expect(events.filter(({ kind }) => kind === 'quarantined').map(({ replica }) => replica)).toEqual([
    turning.url,
  ])
})

test('only when no replica has the right model the run is blocked', async () => {
  const all = await fakes(2)
  const [first, second] = all
  if (!first || !second) throw new Error('two fakes')
  await planWith(first)
  for (const one of all) {
    await one.stop()
    await one.start(OTHER)
  }
  const embedded = embedAll(listOf(all))
  await until(() => events.filter(({ kind }) => kind === 'quarantined').length === 2)
  await first.stop()
  await first.start({ ...MODEL, reportedModel: undefined })
  expect(await embedded).toMatch(/^ok, limit \d+, 1 of 2 replicas quarantined$/)
  await expectEveryVector()
  expect(second.counts.inputs).toBeLessThan(COUNT / 4)
})

test('a worker logs a quarantined replica, counts it in its metrics, and ends the run with the others', async () => {
  const good = await fakes(2)
  const [bad] = await fakes(1, OTHER)
  const [first] = good
  if (!first || !bad) throw new Error('three fakes')
  await planWith(first)
  await using redis = await startRedis()
  await using queue = await openQueue(redis.url)
  // Repeated and separated by commas is the same.
  const endpoints = ['--endpoint', listOf(good), '--endpoint', bad.url]
  const common = ['--output', store.url, '--redis', redis.url, '--metrics', '0']
  const worker: Running = start(['worker', ...endpoints, ...common], {})
  try {
    const [, port] = /127\.0\.0\.1:(\d+)/.exec(await worker.line(/metrics served/)) ?? []
    await enqueueMissing(queue, store, plan, await shardsPresent(store, plan))
    const line = JSON.parse(await worker.line(/replica quarantined/))
    expect(line).toMatchObject({
      replica: bad.url,
      reason: expect.stringContaining('its vectors differ from the stored ones'),
    })
    for (const deadline = AbortSignal.timeout(DEADLINE_MS); ; await clock.sleep(2_000, deadline)) {
      if (countPresent(await shardsPresent(store, plan)) === plan.shards) break
    }
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
    expect(metrics).toContain('reembed_endpoint_replicas{state="quarantined"} 1')
    expect(metrics).toContain('reembed_endpoint_replicas{state="in_use"} 2')
    await expectEveryVector()
  } finally {
    worker.child.kill('SIGTERM')
    expect((await worker.finished).code).toBe(0)
  }
})
