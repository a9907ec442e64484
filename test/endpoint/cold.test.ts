// An endpoint that is scaled to zero, behind a plain URL: planners and workers wake it together,
// with one prober. The stand-in for Hugging Face's proxy lives 20 times as fast: its 42 s of cold
// start pass in two.

import { join } from 'node:path'
import { type LocalRedis, startRedis } from '@reembed/local'
import { openQueue } from '@reembed/queue'
import { createFastClock, startFakeHfEndpoint, startFakeTei, startLoadBalancer } from '@reembed/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { documents, flags, type Running, start, temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { inProcess } from '../parts/in-process.ts'

const token = 'hf_this-is-the-secret'
const env = { REEMBED_ENDPOINT_TOKEN: token, REEMBED_LOG: 'info' }
const clock = createFastClock(20)
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let redis: LocalRedis
let source: string
let endpoint: { readonly url: string } & AsyncDisposable
/** When requests came to the proxy while nothing stood behind it. */
let knocks: number[]

beforeEach(async () => {
  folder = await temporaryFolder()
  redis = await startRedis()
  source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(400))
  knocks = []
})
afterEach(async () => {
  for (const each of [endpoint, redis, folder]) await each[Symbol.asyncDispose]()
})

const common = () => [
  ...flags({ output: join(folder.path, 'vectors'), endpoint: endpoint.url, redis: redis.url }),
]
const enqueue = () =>
  inProcess(['enqueue', '--source', source, '--documents-per-shard', '50', '--json', ...common()], env)

test('a fleet finds its endpoint asleep: one prober wakes it once, the run ends, no attempt is used up', async () => {
  const hf = await startFakeHfEndpoint({
    token,
    clock,
    initialState: 'scaledToZero',
    replica: { dimensions: 8, autoTruncate: true },
    scaleToZeroMs: null,
    fault: () => {
      if (hf.readyReplica === 0) knocks.push(performance.now())
      return undefined
    },
  })
  endpoint = hf
  // What planning asks for first finds it asleep, and wakes it; then it waits.
  const planned = await enqueue()
  expect(planned.code, planned.stderr).toBe(0)
  const { run } = JSON.parse(planned.stdout)
  expect([hf.coldStarts, hf.state]).toEqual([1, 'running'])
  expect(knocks.length).toBeLessThanOrEqual(3)

  await hf.scaleToZero()
  knocks = []
  const workers: Running[] = Array.from({ length: 3 }, () => start(['worker', ...common()], env))
  try {
    await Promise.any(workers.map(({ line }) => line(/"state":"published"/)))
    expect(hf.coldStarts).toBe(2)
    // The coordinator still has it as available, so each worker may send one request; then the
    // proxy holds one prober.
    expect(knocks.length).toBeLessThanOrEqual(workers.length + 1)
    await using queue = await openQueue(redis.url)
    expect(await queue.failures({ output: join(folder.path, 'vectors'), run })).toEqual([])
  } finally {
    for (const { child } of workers) child.kill('SIGTERM')
    const ended = await Promise.all(workers.map(({ finished }) => finished))
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0])
    const said = ended.map(({ stderr }) => stderr).join('')
    expect(said).not.toMatch(new RegExp(`job failed|${token}`))
  }
})

test('planning reports why it waits, and probes at most once a second where the proxy does not hold', async () => {
  await using tei = await startFakeTei({ dimensions: 8, warmUpMs: 8_000 })
  endpoint = await startLoadBalancer({
    replicas: [tei],
    fault: () => {
      if (tei.state === 'up') return undefined
      knocks.push(performance.now())
      return { kind: 'reply', reply: { status: 503, json: '{"error":"503 Service Unavailable"}' } }
    },
  })
  const planned = await enqueue()
  expect(planned.code, planned.stderr).toBe(0)
  expect(planned.stderr).toMatch(/endpoint {2}(waking|warming), \d+ s/)
  const apart = knocks.slice(1).map((at, i) => at - (knocks[i] ?? 0))
  expect(knocks.length).toBeGreaterThan(2)
  // Timers are not exact, and these are of two processes.
  expect(Math.min(...apart)).toBeGreaterThan(900)
})
