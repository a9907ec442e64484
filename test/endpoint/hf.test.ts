// Hugging Face endpoints against a stand-in of the management API and its proxy: every state, and
// no token in a message.

import { inspect } from 'node:util'
import { createHf, type Hf, parseHfName, waitForChange, waitUntilRunning } from '@reembed/endpoint'
import {
  createManualClock,
  type FakeHf,
  type FakeHfEndpointOptions,
  type ManualClock,
  startFakeHf,
} from '@reembed/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'

const token = 'hf_this-is-the-secret'
let clock: ManualClock
let fake: FakeHf
let hf: Hf
const of = { namespace: 'test', name: 'bge' }

beforeEach(async () => {
  clock = createManualClock(1_000_000)
  fake = await startFakeHf({ token, otherTokens: ['hf_reads_only'], clock })
  hf = createHf({ token, apiUrl: fake.apiUrl })
})
afterEach(() => fake[Symbol.asyncDispose]())

const deploy = (options: FakeHfEndpointOptions = {}) => fake.deploy('bge', { token, clock, ...options })

async function errorOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => new Error('nothing failed'),
    (reason: unknown) => reason,
  )
  expect(inspect(error)).not.toContain('secret')
  return error instanceof Error ? error.message : String(error)
}

test('deployed, it initializes and runs, and the wait tells each state', async () => {
  const states: string[] = []
  const request = {
    ...of,
    model: 'BAAI/bge-base-en-v1.5',
    revision: 'a5beb1e',
    instance: 'nvidia-a10g-x1',
    region: 'aws/us-east-1',
    accelerator: 'gpu',
    maxReplica: 2,
    sleepMinutes: 15,
  } as const
  expect(await hf.deploy(request)).toMatchObject({
    state: 'initializing',
    instance: 'nvidia-a10g-x1',
    maxReplica: 2,
    sleepMinutes: 15,
  })
  const running = await clock.advanceUntilSettled(
    waitUntilRunning(hf, of, { clock, onState: ({ state }) => states.push(state) }),
  )
  expect(states).toEqual(['initializing', 'running'])
  expect(running).toMatchObject({
    state: 'running',
    repository: 'BAAI/bge-base-en-v1.5',
    revision: 'a5beb1e',
    readyReplica: 1,
  })
  expect(await errorOf(hf.deploy(request))).toContain('already exists')
})

test('an endpoint that is scaled to zero is woken once and waited for by all callers', async () => {
  const endpoint = await deploy({ initialState: 'scaledToZero' })
  const waits = [1, 2, 3].map(() => waitUntilRunning(hf, of, { clock }))
  for (const { state } of await clock.advanceUntilSettled(Promise.all(waits))) expect(state).toBe('running')
  expect(endpoint.coldStarts).toBe(1)
})

test('a paused endpoint fails with the fix; resuming it is idempotent', async () => {
  await deploy({ initialState: 'paused' })
  expect(await errorOf(waitUntilRunning(hf, of, { clock }))).toBe(
    'hf:test/bge is paused, and requests do not wake it: resume it on Hugging Face',
  )
  await hf.resume(of)
  expect((await clock.advanceUntilSettled(waitUntilRunning(hf, of, { clock }))).state).toBe('running')
  await hf.resume(of)
  await hf.pause(of)
  expect((await hf.read(of)).state).toBe('paused')
})

test('a wait that takes too long ends with the state', async () => {
  await deploy({ initialState: 'scaledToZero', startMs: 60_000 })
  const wait = waitUntilRunning(hf, of, { clock, timeoutMs: 20_000 })
  expect(await errorOf(clock.advanceUntilSettled(wait))).toBe(
    'hf:test/bge is still initializing after 20 s (Endpoint is initializing): read its logs on Hugging Face, or wait longer',
  )
})

test('waitForChange resolves on an update, another revision and a pause, and never while nothing changes', async () => {
  const endpoint = await deploy({ revision: 'one' })
  const before = await hf.read(of)
  const over = new AbortController()
  const quiet = waitForChange(hf, of, before, { clock, signal: over.signal })
  await clock.advance(120_000)
  over.abort()
  expect(await clock.advanceUntilSettled(quiet)).toBeUndefined()

  const watch = waitForChange(hf, of, before, { clock })
  void endpoint.update('two')
  expect(await clock.advanceUntilSettled(watch)).toMatchObject({
    code: 'MODEL_MISMATCH',
    message: expect.stringContaining('now serves model@two, but the run requires model@one'),
  })
  await endpoint.pause()
  const paused = waitForChange(hf, of, { ...before, revision: 'two' }, { clock })
  expect(await clock.advanceUntilSettled(paused)).toMatchObject({
    code: 'ENDPOINT_UNSUPPORTED',
    message: expect.stringMatching(/updat|paused/),
  })
})

test('scaled, put to sleep, deleted; a name that is not there is answered with those that are', async () => {
  const endpoint = await deploy()
  expect(await hf.update(of, { maxReplica: 4, sleepMinutes: 30 })).toMatchObject({
    minReplica: 0,
    maxReplica: 4,
    sleepMinutes: 30,
  })
  await hf.sleep(of)
  expect(endpoint.state).toBe('scaledToZero')
  expect(await errorOf(hf.read({ ...of, name: 'gbe' }))).toBe(
    "namespace 'test' has no endpoint 'gbe': use one of bge",
  )
  await hf.remove(of)
  expect(await errorOf(hf.read(of))).toBe(
    "namespace 'test' has no endpoint 'bge': the token cannot read any endpoint of this namespace",
  )
})

test('prices are listed by instance and region', async () => {
  expect(await hf.prices('test')).toContainEqual({
    instance: 'nvidia-a10g-x1',
    region: 'aws/us-east-1',
    pricePerHour: 1,
    status: 'available',
  })
})

test('no token, an unknown one, one without the right and no answer each get their line, without the token', async () => {
  await deploy()
  expect(() => createHf({ token: undefined })).toThrow(
    'endpoints of Hugging Face require a token: set HF_TOKEN',
  )
  const unknown = createHf({ token: 'hf_another-secret', apiUrl: fake.apiUrl })
  expect(await errorOf(unknown.read(of))).toBe(
    'Hugging Face rejects the token in HF_TOKEN (HTTP 401): set a valid token',
  )
  const reader = createHf({ token: 'hf_reads_only', apiUrl: fake.apiUrl })
  expect((await reader.read(of)).state).toBe('running')
  expect(await errorOf(reader.pause(of))).toContain(
    'give the token in HF_TOKEN the permission inference.endpoints.write',
  )
  await fake[Symbol.asyncDispose]()
  expect(await errorOf(hf.read(of))).toMatch(/\/v2 does not answer \((ECONNREFUSED|UND_ERR_SOCKET)\)/)
  expect(() => createHf({ token, apiUrl: 'http://elsewhere.example/v2' })).toThrow('unencrypted')
})

test('parseHfName accepts hf:namespace/name, ignores URLs and refuses invalid names', () => {
  expect(parseHfName('hf:acme/bge-base')).toEqual({ namespace: 'acme', name: 'bge-base' })
  expect(parseHfName('http://tei:8080')).toBeUndefined()
  expect(() => parseHfName('hf:acme')).toThrow(
    "'hf:acme' is not a name of a Hugging Face endpoint: expected hf:namespace/name",
  )
})
