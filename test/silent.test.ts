// Dependencies that answer in none of the right ways: the most important commands say what they
// wait for, end in time with exit code 5, and end on one signal. `npm run deadlines` measures all.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { followRun } from '@reembed/producer'
import { requirePlan } from '@reembed/protocol'
import { openQueue } from '@reembed/queue'
import { withDeadlines } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { openLog } from '@reembed/telemetry'
import { type FaultyLink, type S3Server, startFaultyLink, startS3Server } from '@reembed/testing'
import { startWorker } from '@reembed/worker'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { documents, flags, start, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

let tei: TeiServer
let redis: LocalRedis
let s3: S3Server
let silent: FaultyLink
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let source: string
beforeAll(async () => {
  ;[tei, redis, s3, folder] = await Promise.all([
    serveTei({ engine: createHashEngine({ dimensions: 8 }) }),
    startRedis(),
    startS3Server(),
    temporaryFolder(),
  ])
  silent = await startFaultyLink({ target: Number(new URL(s3.endpoint).port), fault: 'silent' })
  source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(40))
})
afterAll(async () => {
  for (const part of [silent, tei, redis, s3, folder]) await part[Symbol.asyncDispose]()
})

const at = (scheme: string): string => `${scheme}://127.0.0.1:${silent.port}`
const output = (): string => join(folder.path, 'vectors')

const CELLS: readonly {
  readonly what: string
  readonly args: () => readonly string[]
  readonly env?: () => Record<string, string>
}[] = [
  { what: 'ls, Redis', args: () => ['ls', ...flags({ output: folder.path, redis: at('redis') })] },
  {
    what: 'enqueue, Redis with TLS',
    args: () => ['enqueue', ...flags({ source, output: output(), endpoint: tei.url, redis: at('rediss') })],
  },
  {
    what: 'versions, S3',
    args: () => ['versions', ...flags({ output: 's3://test/out' })],
    env: () => ({ AWS_ENDPOINT_URL_S3: at('http') }),
  },
  {
    what: 'plan, S3 with TLS',
    args: () => ['plan', ...flags({ source: 's3://test/in', endpoint: tei.url })],
    env: () => ({ AWS_ENDPOINT_URL_S3: at('https') }),
  },
  { what: 'embed, endpoint', args: () => ['embed', 'words', ...flags({ endpoint: at('http') })] },
  {
    what: 'plan, Hub',
    args: () => ['plan', ...flags({ source: 'hf://datasets/org/name', endpoint: tei.url })],
    env: () => ({ HF_ENDPOINT: at('http') }),
  },
  {
    what: 'endpoint status, management API',
    args: () => ['endpoint', 'status', 'hf:acme/bge'],
    env: () => ({ HF_TOKEN: 'hf_test', REEMBED_HF_API: at('http') }),
  },
]

test.for(CELLS)('a command whose dependency is silent says so and ends in time: $what', async cell => {
  const startedMs = performance.now()
  const { code, stderr } = await inProcess([...cell.args(), '--timeout', '1'], { ...s3.env, ...cell.env?.() })
  expect({ code, stderr }).toMatchObject({
    code: 5,
    stderr: expect.stringContaining(`127.0.0.1:${silent.port}`),
  })
  expect(stderr).toMatch(/^waiting for .*127\.0\.0\.1:\d+.*: no reply for /m)
  expect(performance.now() - startedMs).toBeLessThan(10_000)
})

test.for([
  ['run', () => flags({ source, output: output(), endpoint: tei.url, redis: at('redis') })],
  ['worker', () => flags({ output: output(), endpoint: tei.url, redis: at('redis'), 'drain-seconds': '1' })],
  ['run', () => flags({ source: 's3://test/in', output: output(), endpoint: tei.url })],
] as const)('SIGTERM ends %s, whatever it waits for', async ([command, args]) => {
  await using link = await startFaultyLink({ target: silent.port, fault: 'silent' })
  const given = args().map(arg => arg.replace(String(silent.port), String(link.port)))
  const env = { ...s3.env, AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${link.port}` }
  const { child, finished } = start([command, ...given], env)
  await link.used
  const sentMs = performance.now()
  child.kill('SIGTERM')
  expect((await finished).code).toBe(130)
  expect(performance.now() - sentMs).toBeLessThan(8_000)
})

test.for([
  [
    'plan',
    (run: string) => join('runs', run, 'plan.json'),
    'RUN_NOT_FOUND',
    /the plan of run \w+ no longer exists/,
  ],
  ['output', () => '', 'STORE_UNREACHABLE', /The folder '.*gone-output' no longer exists/],
] as const)(
  'a run ends with an error when its %s is removed meanwhile',
  async ([what, path, code, message]) => {
    const gone = join(folder.path, `gone-${what}`)
    const where = flags({ source, output: gone, endpoint: tei.url, redis: redis.url })
    const { stdout } = await inProcess(['enqueue', '--json', ...where])
    const { run } = JSON.parse(stdout) as { run: string }
    await using store = await openStore(gone)
    await using queue = await openQueue(redis.url)
    // The queue is empty: the run is swept soon.
    const client = new Redis(redis.url)
    await client.flushall()
    client.disconnect()
    const plan = await requirePlan(store, run)
    const following = followRun({ store, queue, plan, signal: AbortSignal.timeout(20_000) })
    await rm(join(gone, path(run)), { recursive: true })
    await expect(following).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  },
)

test('a worker that cannot start leaves no connection to Redis', async () => {
  await using evicting = await startRedis()
  const admin = new Redis(evicting.url)
  await admin.config('SET', 'maxmemory', '100mb')
  await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
  const started = startWorker({
    redis: evicting.url,
    endpoint: tei.url,
    outputs: ['/out'],
    log: openLog({ level: 'silent' }),
  })
  await expect(started).rejects.toMatchObject({ code: 'REDIS_MISCONFIGURED' })
  const connected = async () => ((await admin.client('LIST')) as string).trim().split('\n').length
  await expect.poll(connected).toBe(1)
  admin.disconnect()
})

test('a worker whose S3 is silent is unready, and takes its jobs again when S3 answers', async () => {
  await using link = await startFaultyLink({ target: Number(new URL(s3.endpoint).port) })
  const endpoint = `http://127.0.0.1:${link.port}`
  const where = flags({ source, output: 's3://test/held', endpoint: tei.url, redis: redis.url })
  expect((await inProcess(['enqueue', ...where], s3.env)).code).toBe(0)
  for (const [name, value] of Object.entries(s3.env)) vi.stubEnv(name, value)
  link.fault = 'silent'
  // Unready after a second, and a call ends after two.
  await withDeadlines({ timeoutMs: 2_000 }, async () => {
    await using worker = await startWorker({
      redis: redis.url,
      endpoint: tei.url,
      outputs: ['s3://test/held'],
      sources: [source],
      s3: { endpoint },
      log: openLog({ level: 'silent' }),
    })
    await expect
      .poll(() => worker.notReadyReason, { timeout: 10_000 })
      .toMatch(`no reply from S3 at ${endpoint}`)
    link.fault = undefined
    await expect.poll(() => worker.notReadyReason, { timeout: 90_000 }).toBeNull()
    await expect
      .poll(
        () =>
          s3
            .bucket('test')
            .keys()
            .filter(key => key.endsWith('.parquet')).length,
        { timeout: 30_000 },
      )
      .toBe(1)
  })
  vi.unstubAllEnvs()
})
