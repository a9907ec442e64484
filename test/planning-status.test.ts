// A run that is being planned, as other processes see it: status, ls, JSON, metric, console. The
// planner is a process of its own, held by its endpoint.

import { join } from 'node:path'
import { serveConsole } from '@reembed/console'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { openCorpus } from '@reembed/planner'
import { planAndEnqueue, pollRunMetrics, readPlanningStatus, watchOutput } from '@reembed/producer'
import { announcePlanning, openQueue, openQueueReader, queueKey } from '@reembed/queue'
import { openStore } from '@reembed/store'
import { createRegistry, openLog } from '@reembed/telemetry'
import { startFakeHf } from '@reembed/testing'
import { Redis } from 'ioredis'
import { createReembed } from 'reembed'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { documents, flags, type Running, start, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { type Gate, openGate } from './parts/gate.ts'
import { inProcess } from './parts/in-process.ts'

const KEY = queueKey('planning')
const PATIENT = { timeout: 30_000, interval: 50 }

let redis: LocalRedis
let client: Redis
let tei: TeiServer
let gate: Gate
let folder: AsyncDisposable & { readonly path: string }
let output: string

beforeEach(async () => {
  ;[redis, folder] = await Promise.all([startRedis(), temporaryFolder()])
  client = new Redis(redis.url)
  tei = await serveTei({ engine: createHashEngine({ dimensions: 16 }) })
  gate = await openGate(tei.url)
  output = join(folder.path, 'out')
})
afterEach(async () => {
  client.disconnect()
  for (const part of [gate, tei, redis, folder]) await part[Symbol.asyncDispose]()
})

/** `reembed enqueue` of 20 documents, which its endpoint holds before the first reply. */
async function startHeldPlanner(): Promise<Running> {
  const source = await writeJsonl(join(folder.path, 'a.jsonl'), documents(20))
  gate.closeAfter(0)
  const planner = start([
    'enqueue',
    ...flags({ source, output, redis: redis.url, endpoint: gate.url }),
    '--json',
  ])
  await gate.closed
  const steps = async () => Object.values(await client.hgetall(KEY)).map(entry => JSON.parse(entry).step)
  await expect.poll(steps, PATIENT).toEqual(['connecting'])
  return planner
}

const status = (...more: string[]) => inProcess(['status', ...flags({ output, redis: redis.url }), ...more])
const ls = (...more: string[]) => inProcess(['ls', ...flags({ output, redis: redis.url }), ...more])

/** The series of run states as an exporter shows them. */
async function stateMetrics(): Promise<string[]> {
  await using store = await openStore(output)
  await using watch = openQueueReader(redis.url)
  const registry = createRegistry()
  const stop = new AbortController()
  const log = openLog({ level: 'silent' })
  const polling = pollRunMetrics(registry, [store], watch, { log, signal: stop.signal })
  await expect.poll(() => registry.render(), PATIENT).toContain('reembed_store_last_read_timestamp_seconds{')
  const text = await registry.render()
  stop.abort()
  await polling
  return text.split('\n').filter(line => line.startsWith('reembed_run_state{'))
}

/** Awaits a text on the page of the outputs, without its tags. */
async function expectOnConsole(text: RegExp): Promise<void> {
  await using store = await openStore(output)
  await using queue = openQueueReader(redis.url)
  await using pages = await serveConsole({ stores: [store], queue, listen: '0' })
  const page = async () =>
    (await (await fetch(pages.url)).text()).replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ')
  await expect.poll(page, PATIENT).toMatch(text)
}

test('a run that is being planned is in status, ls, JSON, console and metric of other processes, until its plan is recorded', async () => {
  const planner = await startHeldPlanner()
  const sentence = /planning for \d+ s: connecting to the endpoint/
  expect((await status()).stdout).toMatch(new RegExp(`^run +${sentence.source}.*, by \\S+\n$`))
  const data = { run: null, state: 'planning', step: 'connecting', done: 0, planner: expect.any(String) }
  const shown = JSON.parse((await status('--json')).stdout)
  expect(shown).toMatchObject({ ...data, sentence: expect.stringMatching(sentence), planning: [data] })
  expect((await ls()).stdout).toMatch(/^-[ ]+planning[ ]+-[ ]+-[ ]+\d{4}-/m)
  expect(JSON.parse((await ls('--json')).stdout)).toMatchObject([data])
  const series = `reembed_run_state{output="${output}",run="",state="planning",reason="none"} 1`
  expect(await stateMetrics()).toEqual([series])
  await expectOnConsole(/ planning for \d+ s: connecting to the endpoint.*, by /)
  await using reembed = createReembed({ output, redis: redis.url })
  expect(await reembed.planning()).toMatchObject([{ ...data, sentence: expect.stringMatching(sentence) }])

  gate.open()
  const { code, stdout } = await planner.finished
  expect(code).toBe(0)
  const { run } = JSON.parse(stdout)
  expect(await client.exists(KEY)).toBe(0)
  expect(await reembed.planning()).toEqual([])
  expect(JSON.parse((await status('--json')).stdout)).toMatchObject({ run, planning: [] })
  expect(JSON.parse((await ls('--json')).stdout)).toMatchObject([{ run }])
  expect((await stateMetrics()).filter(line => line.includes('planning'))).toEqual([])
})

test('the entry of a killed planner is ignored after 30 s, and expires', async () => {
  const planner = await startHeldPlanner()
  planner.child.kill('SIGKILL')
  await planner.finished
  expect(JSON.parse((await status('--json')).stdout)).toMatchObject({ state: 'planning' })
  expect(await client.pttl(KEY)).toBeGreaterThan(0)
  expect(await client.pttl(KEY)).toBeLessThanOrEqual(30_000)

  const [[field = '', json = ''] = []] = Object.entries(await client.hgetall(KEY))
  const { atMs, ...entry } = JSON.parse(json)
  await client.hset(KEY, field, JSON.stringify({ ...entry, atMs: atMs - 30_000 }))
  expect(await status()).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringContaining('holds no run'),
  })
  expect(JSON.parse((await ls('--json')).stdout)).toEqual([])
  expect(await stateMetrics()).toEqual([])

  // The next planner of the queue removes it.
  await using _other = announcePlanning(redis.url, '/elsewhere', { step: { step: 'listing', done: 0 } })
  await expect.poll(() => client.hkeys(KEY), PATIENT).not.toContain(field)
})

test('the wait for a sleeping endpoint of Hugging Face is a part of planning', async () => {
  const token = 'hf_fake'
  await using fake = await startFakeHf({ token })
  await fake.deploy('bge', { token, initialState: 'scaledToZero' })
  const source = await writeJsonl(join(folder.path, 'a.jsonl'), documents(20))
  const env = { HF_TOKEN: token, REEMBED_HF_API: fake.apiUrl }
  const places = flags({ source, output, redis: redis.url, endpoint: 'hf:test/bge' })
  const planner = start(['enqueue', ...places], env)
  await expect
    .poll(async () => (await status()).stdout, PATIENT)
    .toMatch(/^run +planning for \d+ s: connecting to the endpoint \((scaledToZero|initializing)\), by /)
  planner.child.kill('SIGKILL')
  await planner.finished
})

test('a watch of an output without a run follows planning, and then the run', async () => {
  const planner = await startHeldPlanner()
  await using store = await openStore(output)
  await using queue = await openQueue(redis.url)
  const states: unknown[] = []
  for await (const { run, planning } of watchOutput(store, queue, undefined, AbortSignal.timeout(30_000))) {
    states.push(run?.state ?? planning[0]?.state)
    gate.open()
    if (run !== undefined) break
  }
  expect((await planner.finished).code).toBe(0)
  expect([...new Set(states)]).toEqual(['planning', 'waiting'])
})

test('planning that fails, and a tick without a change, leave no entry', async () => {
  const source = await writeJsonl(join(folder.path, 'a.jsonl'), documents(20))
  // Redis records each removal: an entry of a planner that ended soon may not be seen otherwise.
  await client.config('SET', 'notify-keyspace-events', 'Kgh')
  const events: string[] = []
  const subscriber = new Redis(redis.url)
  await subscriber.psubscribe(`__keyspace@0__:${KEY}`)
  subscriber.on('pmessage', (_pattern, _channel, event) => events.push(event))
  const removals = () => events.filter(event => event === 'hdel').length

  const failed = await inProcess([
    'enqueue',
    ...flags({ source, output, redis: redis.url, endpoint: tei.url }),
    '--dimensions=9999',
  ])
  expect(failed.code).toBe(2)
  await expect.poll(removals, PATIENT).toBe(1)

  await using store = await openStore(output, { create: true })
  await using queue = await openQueue(redis.url)
  const tick = { store, queue, redis: redis.url, options: {}, endpoint: { url: tei.url, options: {} } }
  for (const status of ['planned', 'unchanged']) {
    await using corpus = await openCorpus(source)
    expect(await planAndEnqueue('source_changed', { ...tick, corpus })).toMatchObject({ status })
  }
  await expect.poll(removals, PATIENT).toBe(3)
  expect(await client.exists(KEY)).toBe(0)
  subscriber.disconnect()
})

test('an entry states the step, its progress and what planning waits for, for its output alone, and is removed by its signal', async () => {
  await using store = await openStore(output, { create: true })
  await using queue = await openQueue(redis.url)
  const sentences = async () => (await readPlanningStatus(store, queue)).map(({ sentence }) => sentence)
  const stop = new AbortController()
  const connecting = { step: 'connecting', done: 0, endpoint: 'warming, 41 s' }
  await using planning = announcePlanning(redis.url, `${store.url}/`, {
    step: connecting,
    signal: stop.signal,
  })
  await using _other = announcePlanning(redis.url, '/elsewhere', { step: connecting })
  await expect.poll(() => client.hlen(KEY), PATIENT).toBe(2)
  const place = 'connecting to the endpoint (warming, 41 s)'
  expect(await sentences()).toEqual([expect.stringMatching(/^planning for \d s: /)])
  expect(await sentences()).toEqual([expect.stringContaining(place)])

  planning.report({ step: 'counting_tokens', done: 12, of: 64 })
  await expect
    .poll(sentences, PATIENT)
    .toEqual([expect.stringMatching(/^planning for \d+ s: counting tokens, 12 of 64 texts$/)])
  expect(await readPlanningStatus(store, queue)).toMatchObject([
    { step: 'counting_tokens', done: 12, of: 64 },
  ])

  stop.abort()
  await expect.poll(sentences, PATIENT).toEqual([])
  expect(await client.hlen(KEY)).toBe(1)
})

test('entries that another program wrote are ignored', async () => {
  await using store = await openStore(output, { create: true })
  await using queue = await openQueue(redis.url)
  await client.hset(KEY, { a: 'no JSON', b: '{"planner":"b","output":7}' })
  expect(await readPlanningStatus(store, queue)).toEqual([])
  await client.del(KEY)
  await client.set(KEY, 'a text')
  expect(await readPlanningStatus(store, queue)).toEqual([])
})
