// The OTEL_* variables, and trace contexts from Redis.

import { openTracing, tracing } from '@reembed/telemetry'
import { afterEach, expect, test } from 'vitest'
import { tracedAttempt } from '../src/trace.ts'

const options = { version: '0', onError: () => {} }
/** No span of these tests is sampled, so none is exported. */
const on = { OTEL_TRACES_EXPORTER: 'otlp', OTEL_TRACES_SAMPLER: 'always_off' }
let opened: AsyncDisposable | undefined
afterEach(async () => {
  await opened?.[Symbol.asyncDispose]()
  opened = undefined
})

test('openTracing turns tracing on only when a variable enables it', async () => {
  for (const off of [
    {},
    { OTEL_SERVICE_NAME: 'reembed' },
    { OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' },
    { OTEL_SDK_DISABLED: 'TRUE', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' },
  ]) {
    expect([off, await openTracing(off, options), tracing()]).toEqual([off, undefined, undefined])
  }
  for (const said of [
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' },
    { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://collector:4318/v1/traces' },
    on,
  ]) {
    await using traces = await openTracing(said, options)
    expect([said, traces === undefined, tracing() === undefined]).toEqual([said, false, false])
  }
  expect(tracing()).toBeUndefined()
})

test.each([
  [{ OTEL_TRACES_EXPORTER: 'zipkin' }, /OTEL_TRACES_EXPORTER to be otlp or none, got 'zipkin'/],
  [
    { ...on, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'grpc' },
    /OTEL_EXPORTER_OTLP_TRACES_PROTOCOL to be .*got 'grpc'/,
  ],
  [{ ...on, OTEL_TRACES_SAMPLER: 'jaeger_remote' }, /OTEL_TRACES_SAMPLER to be .*got 'jaeger_remote'/],
  [
    { ...on, OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '1%' },
    /OTEL_TRACES_SAMPLER_ARG to be 0 to 1, got '1%'/,
  ],
])('openTracing refuses %j and names the variable', async (env, message) => {
  await expect(openTracing(env, options)).rejects.toThrow(message)
  expect(tracing()).toBeUndefined()
})

test('tracedAttempt continues the trace of a job, and starts a new one for an invalid context', async () => {
  opened = await openTracing(on, options)
  const job = { output: 's3://vectors', run: 'a'.repeat(26), shard: 0 }
  const trace = 'ab'.repeat(16)
  const seen: (string | undefined)[] = []
  for (const traceContext of [
    JSON.stringify({ traceparent: `00-${trace}-${'cd'.repeat(8)}-01` }),
    undefined,
    '',
    '{',
    'null',
    '"x"',
    '{"traceparent":{}}',
    '{"traceparent":"00-zz"}',
  ]) {
    await tracedAttempt(job, { traceContext, attempt: 1 }, async () => {
      const request = tracing()?.start('request', { kind: 'client', attributes: {} })
      seen.push(request?.headers.traceparent?.split('-')[1])
      request?.end()
    })
  }
  expect(seen[0]).toBe(trace)
  for (const id of seen.slice(1)) expect(id).toMatch(/^[0-9a-f]{32}$/)
  expect(new Set(seen).size).toBe(seen.length)
})

test('concurrent jobs keep their own traces', async () => {
  opened = await openTracing(on, options)
  const begun = Promise.withResolvers<void>()
  let waiting = 0
  const attempt = async (shard: number): Promise<void> => {
    const trace = shard.toString(16).padStart(32, 'a')
    const traceContext = JSON.stringify({ traceparent: `00-${trace}-${'cd'.repeat(8)}-01` })
    const job = { output: 's3://vectors', run: 'a'.repeat(26), shard }
    await tracedAttempt(job, { traceContext, attempt: 1 }, async () => {
      if (++waiting === 20) begun.resolve()
      await begun.promise
      const request = tracing()?.start('request', { kind: 'client', attributes: {} })
      expect(request?.headers.traceparent).toContain(trace)
      request?.end()
    })
  }
  await Promise.all(Array.from({ length: 20 }, (_, shard) => attempt(shard)))
})
