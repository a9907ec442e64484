// The SDK against a real Redis, local folders, an S3 server and a fake TEI. What the command
// refuses, the SDK refuses.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type LocalRedis, startRedis } from '@reembed/local'
import type { Logger } from '@reembed/telemetry'
import { type FakeTei, type S3Server, startFakeTei, startS3Server } from '@reembed/testing'
import { createReembed, isReembedError, type ReembedOptions, type SourceOptions } from 'reembed'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { temporaryFolder } from './parts/cli.ts'
import { startElasticsearch } from './parts/elasticsearch.ts'
import { hasToken, openFront } from './parts/front.ts'
import { inProcess } from './parts/in-process.ts'

const stack = new AsyncDisposableStack()
let redis: LocalRedis
let tei: FakeTei
let prompted: FakeTei
let s3: S3Server
let root: string
let source: string

beforeAll(async () => {
  root = stack.use(await temporaryFolder()).path
  redis = stack.use(await startRedis())
  tei = stack.use(await startFakeTei())
  prompted = stack.use(await startFakeTei({ defaultPrompt: 'query: ' }))
  s3 = stack.use(await startS3Server({ buckets: ['bucket'], ignoreIfNoneMatch: true }))
  source = await corpus('docs', 40)
})
afterAll(() => stack.disposeAsync())

async function corpus(name: string, documents: number): Promise<string> {
  const folder = join(root, name)
  await mkdir(folder, { recursive: true })
  const lines = Array.from({ length: documents }, (_, i) =>
    JSON.stringify({ id: `d${i}`, text: `text ${i}` }),
  )
  await writeFile(join(folder, 'docs.jsonl'), lines.join('\n'))
  return folder
}

const client = (output: string, options: Partial<ReembedOptions> = {}) =>
  createReembed({ output: join(root, output), redis: redis.url, endpoint: tei.url, ...options })

test('a run is planned, enqueued, embedded, published, verified and read by one process', async () => {
  const streams = (['stdout', 'stderr'] as const).map(name => vi.spyOn(process[name], 'write'))
  await using reembed = client('whole')
  const planned = await reembed.plan(source)
  expect(planned).toMatchObject({ shards: 1, documents: 40, fields: { id: 'id', text: 'text' } })
  await expect(reembed.runs()).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' })

  const enqueued = await reembed.enqueue(source)
  expect(enqueued).toMatchObject({ run: planned.run, enqueued: 1, created: true, finished: false })
  expect(await reembed.status(planned.run)).toMatchObject({
    state: 'waiting',
    reason: 'no_worker',
    shardsDone: 0,
    queue: { jobs: { waiting: 1 } },
  })

  await using worker = await reembed.startWorker()
  const progress: number[] = []
  const outcome = await reembed.wait(planned.run, {
    onProgress: ({ shardsDone }) => progress.push(shardsDone),
  })
  expect(outcome).toMatchObject({ status: 'published', version: { version: 1, run: planned.run } })
  expect(progress.at(-1)).toBe(1)
  expect(worker.notReadyReason).toBeNull()
  await worker.drain(1_000)

  expect(await reembed.status()).toMatchObject({ state: 'published', totals: { rows: 40 } })
  expect(await reembed.verify()).toMatchObject({ totals: { documents: 40, rows: 40, rejects: 0 } })
  const manifest = await reembed.manifest()
  let rows = 0
  for await (const { ids, vectors, dimensions } of reembed.read()) {
    rows += ids.length
    expect(vectors.length).toBe(ids.length * dimensions)
    expect(dimensions).toBe(manifest.model.dimensions)
  }
  expect(rows).toBe(40)
  expect(await reembed.enqueue(source)).toMatchObject({ created: false, finished: true, enqueued: 0 })
  for (const stream of streams) {
    expect(stream).not.toHaveBeenCalled()
    stream.mockRestore()
  }
})

test('a run is loaded by a worker of the SDK, switched to, switched back and dropped', async () => {
  await using server = await startElasticsearch('9.3.0')
  await using reembed = client('loaded')
  const store = `elasticsearch+${server.url}`
  await using _ = await reembed.startWorker({ sinks: [store] })
  const runs: string[] = []
  for (const folder of [source, await corpus('more', 41)]) {
    const { run } = await reembed.enqueue(folder)
    await reembed.wait(run)
    const steps = new Set<string>()
    const onProgress = ({ step }: { readonly step: string }) => void steps.add(step)
    const { record, written } = await reembed.load(store, { name: 'wiki', onProgress })
    expect(record).toMatchObject({ run, name: 'wiki', action: 'load' })
    expect(written).toMatchObject({ shards: 1, byWorkers: true })
    expect([...steps]).toEqual(['write', 'index', 'compare'])
    const { manifest, changed } = await reembed.switchTo(store, { name: 'wiki' })
    expect([manifest.run, changed]).toEqual([run, true])
    runs.unshift(run)
  }
  const [newest = '', earlier = ''] = runs
  await expect(reembed.drop(store, newest, { name: 'wiki' })).rejects.toMatchObject({
    code: 'USAGE',
    reason: 'target_in_use',
  })
  expect(await reembed.switchTo(store, { name: 'wiki', back: true })).toMatchObject({ run: earlier })
  expect(await reembed.drop(store, newest, { name: 'wiki', by: 'ada' })).toMatchObject({
    run: newest,
    by: 'ada',
  })
  expect([...server.indices.keys()]).toEqual([`wiki_${earlier.slice(0, 12)}`])
  const stop = AbortSignal.abort(new Error('stopped'))
  await expect(reembed.load(store, { signal: stop })).rejects.toThrow('stopped')
})

test('a held run is published by force, a later one is rolled back', async () => {
  await using reembed = client('versions')
  const folder = await corpus('versions-docs', 5)
  await writeFile(join(folder, 'bad.jsonl'), `not JSON\n`)
  await using _ = await reembed.startWorker()
  const first = await reembed.enqueue(folder, { maxRejects: '0' })
  expect(await reembed.wait(first.run)).toMatchObject({ status: 'held', by: 'rejects' })
  expect(await reembed.publish(first.run)).toMatchObject({ status: 'held' })
  expect(await reembed.publish(first.run, { force: true })).toMatchObject({ status: 'published' })
  const second = await reembed.enqueue(source)
  // The worker's own sweep may publish first.
  expect(await reembed.wait(second.run)).toMatchObject({
    status: expect.stringMatching(/^(published|already_current)$/),
    version: { version: 2, run: second.run },
  })
  expect(await reembed.rollback(undefined, { by: 'ada', reason: 'a check' })).toMatchObject({
    version: { version: 3, run: first.run },
  })
  expect(await reembed.versions()).toMatchObject([
    { version: 3, run: first.run, action: 'rollback', by: 'ada', reason: 'a check' },
    { version: 2, run: second.run, action: 'publish', model: expect.stringContaining('@') },
    { version: 1, run: first.run, action: 'force', despite: [expect.stringMatching(/rejected/)] },
  ])
  expect(await reembed.runs()).toEqual([second.run, first.run])
})

test('a run is evaluated with judged queries', async () => {
  await using reembed = client('judged')
  await using _ = await reembed.startWorker()
  const { run } = await reembed.enqueue(source)
  await reembed.wait(run)
  const queries = [7, 9].map(i => ({ id: `q${i}`, text: `text ${i}`, relevant: { [`d${i}`]: 1 } }))
  const scored = await reembed.evaluate(undefined, { queries, top: 1 })
  expect(scored).toMatchObject({ run, means: { 'recall@1': 1, 'ndcg@1': 1 }, judged: 2, missing: 0 })
  await expect(reembed.evaluate('zzzz', { queries })).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
})

test('a run held for text that the model did not read is published with another limit', async () => {
  await using small = await startFakeTei({ maxInputLength: 16 })
  await using reembed = client('unread', { endpoint: small.url })
  const folder = join(root, 'unread-docs')
  await mkdir(folder)
  await writeFile(join(folder, 'docs.jsonl'), JSON.stringify({ id: 'd', text: 'word '.repeat(200) }))
  await using _ = await reembed.startWorker()
  const { run } = await reembed.enqueue(folder, { maxTruncated: '1%' })
  expect(await reembed.wait(run)).toMatchObject({ status: 'held', by: 'truncation' })
  expect(await reembed.publish(run, { maxTruncated: '100%' })).toMatchObject({ status: 'published' })
})

test('a worker that cannot work gives up with the cause after its time', async () => {
  await using front = await openFront(tei.url)
  front.refuse = headers => (hasToken(headers, 'wrong') ? 401 : undefined)
  await using planner = client('given-up', { endpoint: front.url })
  await planner.enqueue(source, { documentsPerShard: 5 })
  await using wrong = client('given-up', { endpoint: front.url, endpointOptions: { token: 'wrong' } })
  const gaveUp = Promise.withResolvers<unknown>()
  await using worker = await wrong.startWorker({ giveUpMs: 50, onGiveUp: gaveUp.resolve })
  expect(await gaveUp.promise).toMatchObject({ code: 'ENDPOINT_ACCESS_DENIED' })
  expect(worker.notReadyReason).toMatch(/^takes no jobs/)
})

test('a paused run starts no jobs until it is resumed', async () => {
  await using reembed = client('paused')
  const { run } = await reembed.enqueue(source)
  await reembed.pause(run)
  expect((await reembed.status(run)).state).toBe('paused')
  await expect(reembed.enqueue(source)).rejects.toMatchObject({ code: 'RUN_STOPPED', reason: 'run_paused' })
  expect(await reembed.sweep()).toEqual([{ run, status: 'paused' }])
  // Its job is still on the queue.
  expect(await reembed.resume(run)).toBe(0)
  await using _ = await reembed.startWorker({ sweep: false })
  expect(await reembed.wait(run)).toMatchObject({ status: 'published' })
})

test('an aborted call rejects with the reason of its signal and can be repeated', async () => {
  await using reembed = client('aborted')
  const reason = new Error('shut down')
  const aborted = AbortSignal.abort(reason)
  for (const call of [
    () => reembed.plan(source, { signal: aborted }),
    () => reembed.enqueue(source, { signal: aborted }),
    () => reembed.startWorker({ signal: aborted }),
    () => reembed.sweep({ signal: aborted }),
    () => reembed.status(undefined, { signal: aborted }),
    () => reembed.verify(undefined, { signal: aborted }),
    () => reembed.rollback(undefined, { signal: aborted }),
  ])
    await expect(call()).rejects.toBe(reason)
  // A corpus of its own: its job stays on the queue.
  const { run } = await reembed.enqueue(await corpus('aborted-docs', 3))
  const stop = new AbortController()
  const waiting = reembed.wait(run, { signal: stop.signal, onProgress: () => stop.abort(reason) })
  await expect(waiting).rejects.toBe(reason)
})

test("a worker writes its events to the program's logger", async () => {
  const messages: string[] = []
  const keep = (_: object, message: string): void => void messages.push(message)
  const log: Logger = { debug: keep, info: keep, warn: keep, error: keep }
  await using reembed = client('logged', { log })
  const { run } = await reembed.enqueue(source)
  await using worker = await reembed.startWorker()
  await reembed.wait(run)
  await worker.drain(1_000)
  expect(messages).toEqual(expect.arrayContaining(['worker started', 'shard finished', 'worker drained']))
})

test('an error narrows by its code', async () => {
  await using reembed = client('narrow')
  const error: unknown = await reembed.enqueue(join(root, 'missing')).catch((thrown: unknown) => thrown)
  expect(isReembedError(error)).toBe(true)
  expect(isReembedError(error, 'SOURCE_NOT_FOUND')).toBe(true)
  expect(isReembedError(error, 'USAGE')).toBe(false)
  expect(isReembedError(new Error('other'))).toBe(false)
  if (isReembedError(error, 'SOURCE_NOT_FOUND', 'SOURCE_EMPTY')) {
    const code: 'SOURCE_NOT_FOUND' | 'SOURCE_EMPTY' = error.code
    expect(code).toBe('SOURCE_NOT_FOUND')
  }
})

test('a call without Redis or endpoint names the option that it needs', async () => {
  await using reembed = createReembed({ output: join(root, 'bare') })
  await expect(reembed.sweep()).rejects.toMatchObject({ code: 'USAGE', option: 'redis' })
  await expect(reembed.plan(source)).rejects.toMatchObject({ code: 'USAGE', option: 'endpoint' })
  expect(() => createReembed({ output: '' })).toThrow(
    expect.objectContaining({ code: 'USAGE', option: 'output' }),
  )
})

interface Refused {
  readonly what: string
  readonly code: string
  readonly options?: () => Partial<ReembedOptions>
  readonly request?: SourceOptions
  readonly source?: () => string
  readonly flags: () => readonly string[]
  /** Exit code of the command. */
  readonly exit?: number
}

const REFUSED: readonly Refused[] = [
  {
    what: 'a Redis on another machine without password or TLS',
    code: 'USAGE',
    options: () => ({ redis: 'redis://10.255.255.1:6379' }),
    flags: () => ['--redis', 'redis://10.255.255.1:6379'],
  },
  {
    what: 'a store that ignores If-None-Match',
    code: 'STORE_UNSAFE',
    options: () => ({ output: 's3://bucket/unsafe', s3: { endpoint: s3.endpoint, pathStyle: true } }),
    flags: () => ['--output', 's3://bucket/unsafe', '--s3-endpoint', s3.endpoint],
  },
  {
    what: 'a maximum cost without a price',
    code: 'USAGE',
    request: { spending: { maxCost: 5 } },
    flags: () => ['--max-cost', '5'],
  },
  {
    what: 'a gate that needs queries, without queries',
    code: 'USAGE',
    request: { gates: { rules: ['recall@10 min 0.9'] } },
    flags: () => ['--gate', 'recall@10 min 0.9'],
  },
  {
    what: 'a gate that cannot be parsed',
    code: 'USAGE',
    request: { gates: { rules: ['speed min 3'] } },
    flags: () => ['--gate', 'speed min 3'],
  },
  {
    what: 'chunks longer than the model reads',
    code: 'USAGE',
    request: { chunking: { maxTokens: 100_000 } },
    flags: () => ['--chunk-tokens', '100000'],
  },
  {
    what: 'a prompt that the server would put before every text a second time',
    code: 'USAGE',
    options: () => ({ endpoint: prompted.url }),
    request: { prompt: 'query: ' },
    flags: () => ['--endpoint', prompted.url, '--prompt', 'query: '],
  },
  {
    what: 'a text field that no record has',
    code: 'FIELD_NOT_FOUND',
    request: { fields: { text: 'nothing' } },
    flags: () => ['--text', 'nothing'],
  },
  {
    what: 'a carried field that no record has',
    code: 'FIELD_NOT_FOUND',
    request: { fields: { carry: ['nothing'] } },
    flags: () => ['--carry', 'nothing'],
  },
  {
    what: 'more dimensions than the model has',
    code: 'USAGE',
    request: { vectors: { dimensions: 100_000 } },
    flags: () => ['--dimensions', '100000'],
  },
  {
    what: 'a corpus that does not exist',
    code: 'SOURCE_NOT_FOUND',
    source: () => join(root, 'missing'),
    flags: () => ['--source', join(root, 'missing')],
  },
  {
    what: 'an output inside the corpus',
    code: 'OUTPUT_INSIDE_SOURCE',
    options: () => ({ output: join(source, 'vectors') }),
    flags: () => ['--output', join(source, 'vectors')],
  },
]

describe('the SDK and the command refuse', () => {
  test.each(REFUSED)('$what', async ({ code, options, request, source: other, flags, exit = 2 }) => {
    for (const [name, value] of Object.entries(s3.env)) vi.stubEnv(name, value)
    vi.stubEnv('AWS_ENDPOINT_URL_S3', '')
    await using reembed = client('refused', options?.())
    await expect(reembed.enqueue(other?.() ?? source, request)).rejects.toMatchObject({ code })
    vi.unstubAllEnvs()
    const base = { source, output: join(root, 'refused'), redis: redis.url, endpoint: tei.url }
    const given = flags()
    const args = Object.entries(base).flatMap(([name, value]) =>
      given.includes(`--${name}`) ? [] : [`--${name}`, value],
    )
    const { code: exited } = await inProcess(['enqueue', ...args, ...given], s3.env)
    expect(exited).toBe(exit)
  })
})
