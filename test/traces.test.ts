// Traces, over real processes, real Redis and a real OTLP receiver.

import { join } from 'node:path'
import { type LocalRedis, startRedis } from '@reembed/local'
import { type FakeTei, startFakeTei } from '@reembed/testing'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  documents,
  type Finished,
  flags,
  reembed,
  SOURCE,
  start,
  temporaryFolder,
  writeJsonl,
} from './parts/cli.ts'
import { type ReceivedSpan, startCollector } from './parts/otlp.ts'

const TOKEN = 'the-endpoint-token'
const COUNT = 60

let redis: LocalRedis
let tei: FakeTei
let place: Awaited<ReturnType<typeof temporaryFolder>>
/** Headers of the requests that held documents. */
let arrived: { readonly traceparent: unknown; readonly inputs: number }[]

beforeEach(async () => {
  arrived = []
  ;[place, redis, tei] = await Promise.all([
    temporaryFolder(),
    startRedis(),
    startFakeTei({ dimensions: 8, apiKey: TOKEN, maxClientBatchSize: 8 }),
  ])
  tei.faults.request = ({ headers, inputs }) => {
    if (!inputs.some(text => /^document \d/.test(String(text)))) return undefined
    arrived.push({ traceparent: headers.traceparent, inputs: inputs.length })
    return undefined
  }
  await writeJsonl(join(place.path, 'corpus.jsonl'), documents(COUNT))
})
afterEach(async () => {
  for (const part of [tei, redis, place]) await part[Symbol.asyncDispose]()
})

const given = (): string[] => [
  ...flags({ output: join(place.path, 'out'), endpoint: tei.url, redis: redis.url }),
]
const corpus = (): string[] => ['--source', join(place.path, 'corpus.jsonl'), '--documents-per-shard', '20']
const env = (more: Record<string, string> = {}): Record<string, string> => ({
  REEMBED_ENDPOINT_TOKEN: TOKEN,
  ...more,
})

/** Enqueues, lets one worker make the run, and ends it. */
async function embedAll(
  traced: Record<string, string>,
  command?: string,
): Promise<{ readonly stderr: string }> {
  const enqueued = await start(['enqueue', ...corpus(), ...given()], env(traced), undefined, command).finished
  expect([enqueued.code, enqueued.stderr]).toEqual([0, expect.any(String)])
  const working = start(['worker', ...given()], env(traced), undefined, command)
  await working.line(/"state":"published"/)
  working.child.kill('SIGTERM')
  const { code, stderr } = await working.finished
  expect(code).toBe(0)
  return { stderr: enqueued.stderr + stderr }
}

test('a job is one trace, from being enqueued to the headers of each request', async () => {
  await using collector = await startCollector()
  let refused = 0
  const look = tei.faults.request
  tei.faults.request = seen => {
    look?.(seen)
    if (seen.headers.traceparent === undefined || refused > 0) return undefined
    refused += 1
    return {
      kind: 'reply',
      reply: { status: 429, json: '{"error":"Model is overloaded","error_type":"Overloaded"}' },
    }
  }
  await embedAll({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20the-collector-token',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
  })
  const { spans } = collector
  const named = (name: string): ReceivedSpan[] => spans.filter(span => span.name === name)
  const model = spans.find(({ name }) => name.startsWith('embeddings '))?.attributes['gen_ai.request.model']
  const [enqueued, attempts, requests] = [
    named('enqueue embed'),
    named('process embed'),
    named(`embeddings ${model}`),
  ]
  expect(spans).toHaveLength(enqueued.length + attempts.length + requests.length)

  // A job that is enqueued while it exists starts a trace without further spans.
  expect(enqueued.length).toBeGreaterThanOrEqual(3)
  expect(new Set(enqueued.map(({ traceId }) => traceId)).size).toBe(enqueued.length)
  expect(enqueued.filter(({ parentSpanId }) => parentSpanId)).toEqual([])
  expect(attempts).toHaveLength(3)
  for (const attempt of attempts) {
    const begun = enqueued.find(({ spanId }) => spanId === attempt.parentSpanId)
    expect(begun?.traceId).toBe(attempt.traceId)
    expect(begun?.attributes['messaging.message.id']).toBe(attempt.attributes['messaging.message.id'])
    expect(attempt).toMatchObject({
      kind: 5,
      attributes: {
        'messaging.system': 'bullmq',
        'messaging.operation.type': 'process',
        'messaging.destination.name': 'embed',
        'reembed.attempt': 1,
        'reembed.shard.status': 'put',
        'reembed.shard.rejects': 0,
      },
    })
    expect(begun?.resource['service.instance.id']).not.toBe(attempt.resource['service.instance.id'])
    expect(attempt.resource).toMatchObject({
      'service.name': 'reembed',
      'deployment.environment.name': 'test',
    })
  }
  const rows = attempts.map(({ attributes }) => Number(attributes['reembed.shard.rows']))
  expect(rows.reduce((a, b) => a + b)).toBe(COUNT)

  // Every request at the endpoint belongs to the span that it names.
  expect(arrived.length).toBeGreaterThanOrEqual(COUNT / 8)
  const parents = new Set(attempts.map(({ traceId, spanId }) => `${traceId}-${spanId}`))
  for (const { traceparent, inputs } of arrived) {
    const span = requests.find(({ traceId, spanId }) => traceparent === `00-${traceId}-${spanId}-01`)
    expect(span?.attributes['reembed.request.texts']).toSatisfy(texts => Number(texts) <= inputs)
    expect(parents).toContain(`${span?.traceId}-${span?.parentSpanId}`)
  }
  expect(new Set(arrived.map(({ traceparent }) => traceparent)).size).toBe(requests.length)
  const [overloaded, ...others] = requests.filter(({ status }) => status.code === 2)
  expect(others).toEqual([])
  expect(overloaded?.attributes).toMatchObject({ 'error.type': 'overload', 'http.response.status_code': 429 })
  expect(requests.find(({ status }) => status.code !== 2)).toMatchObject({
    kind: 3,
    attributes: {
      'gen_ai.operation.name': 'embeddings',
      'gen_ai.provider.name': 'tei',
      'gen_ai.embeddings.dimension.count': 8,
      'gen_ai.usage.input_tokens': expect.any(Number),
      'server.address': '127.0.0.1',
      'server.port': Number(new URL(tei.url).port),
      'http.response.status_code': 200,
    },
  })

  // The collector's own authorization, and secrets that no request must hold.
  expect(new Set(collector.authorizations)).toEqual(new Set(['Bearer the-collector-token']))
  const sent = Buffer.concat(collector.bodies).toString()
  for (const secret of [TOKEN, 'the-collector-token', 'speaks of topic', redis.url, place.path])
    expect(sent).not.toContain(secret)
})

test('a failed attempt is marked as an error, and the next attempt is in the same trace', async () => {
  await using collector = await startCollector()
  await writeJsonl(join(place.path, 'corpus.jsonl'), documents(5))
  // The server refuses all it gets, for longer than the patience of the first attempt's requests.
  let corrupt = 0
  tei.faults.request = ({ headers }) =>
    headers.traceparent !== undefined && ++corrupt <= 5 ? { kind: 'cut', afterBytes: 40 } : undefined
  const { code } = await runHere('out', {
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/v1/traces`,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json',
  })
  expect(code).toBe(0)
  const attempts = collector.spans.filter(({ name }) => name === 'process embed')
  expect(attempts.length).toBeGreaterThan(1)
  expect(new Set(attempts.map(({ traceId }) => traceId)).size).toBe(1)
  const inOrder = attempts.toSorted(
    (a, b) => Number(a.attributes['reembed.attempt']) - Number(b.attributes['reembed.attempt']),
  )
  expect(inOrder[0]).toMatchObject({ status: { code: 2 }, attributes: { 'error.type': 'REPLY_INVALID' } })
  expect(inOrder.at(-1)?.status.code ?? 0).toBe(0)
})

/** Plan, worker and end in one process. */
const runHere = (output: string, traced: Record<string, string>): Promise<Finished> =>
  reembed(
    [
      'run',
      ...corpus(),
      ...flags({ output: join(place.path, output), endpoint: tei.url, redis: redis.url }),
      '--json',
    ],
    env(traced),
  )

/** Says each module of OpenTelemetry that a process loads. */
const WATCH = `--import=data:text/javascript,${encodeURIComponent(
  "import{registerHooks as r}from'node:module';r({load(u,c,n){if(/opentelemetry/.test(u))process.stderr.write('LOADED\\n');return n(u,c)}})",
)}`

test('without OTEL variables nothing is loaded, carried or sent', async () => {
  const { stderr } = await embedAll({ NODE_OPTIONS: WATCH }, SOURCE)
  expect(stderr).not.toContain('LOADED')
  expect(arrived.length).toBeGreaterThan(0)
  expect(arrived.filter(({ traceparent }) => traceparent !== undefined)).toEqual([])
  // The hook does see what is loaded where they are set.
  const exporting = { NODE_OPTIONS: WATCH, OTEL_TRACES_EXPORTER: 'otlp' }
  const on = await start(['ls', '--output', join(place.path, 'out')], exporting, undefined, SOURCE).finished
  expect([on.code, on.stderr]).toEqual([0, expect.stringContaining('LOADED')])
})

test('a trace that is not sampled propagates as such and is not exported', async () => {
  await using collector = await startCollector()
  await reembed(
    ['enqueue', ...corpus(), ...given()],
    env({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0',
    }),
  )
  const client = new Redis(redis.url)
  const [job = ''] = await client.zrange('{reembed}:embed:ready', 0, '0')
  const carried = JSON.parse((await client.hget(`{reembed}:embed:${job}`, 'opts')) ?? '{}')
  client.disconnect()
  expect(JSON.stringify(carried)).toMatch(/00-[0-9a-f]{32}-[0-9a-f]{16}-00/)
  expect(collector.bodies).toEqual([])
})

test('traces are exported as Protobuf unless JSON is configured', async () => {
  await using collector = await startCollector()
  await reembed(['enqueue', ...corpus(), ...given()], env({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }))
  expect(collector.types).toEqual(['application/x-protobuf'])
  expect(collector.bodies[0]?.toString('latin1').split('enqueue embed')).toHaveLength(4)
})

test('a collector that is down, silent, or requires gRPC costs a log line, not the run', async () => {
  await using silent = await startCollector({ silent: true })
  const [gone, hanging, grpc] = await Promise.all([
    runHere('gone', { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://user:the-password@127.0.0.1:1' }),
    runHere('hanging', { OTEL_EXPORTER_OTLP_ENDPOINT: silent.url }),
    reembed(['ls', '--output', place.path, '--json'], {
      OTEL_TRACES_EXPORTER: 'otlp',
      OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
    }),
  ])
  for (const { code, stdout } of [gone, hanging])
    expect([code, JSON.parse(stdout)]).toEqual([0, expect.objectContaining({ status: 'published' })])
  expect(grpc.code).toBe(0)
  expect(hanging.stderr).toMatch(/^reembed: traces: cannot export the last spans: no reply within 3 s$/m)
  expect(gone.stderr).toMatch(/^reembed: traces: .*(ECONNREFUSED|cannot export)/m)
  expect(gone.stderr).not.toContain('the-password')
  expect(grpc.stderr).toMatch(
    /^reembed: traces: off: expected OTEL_EXPORTER_OTLP_PROTOCOL to be http\/protobuf or http\/json .*, got 'grpc'$/m,
  )
})
