// The span of a request, for what an endpoint and a worker can do with it. Real spans, sent to a
// real receiver, are in the scenarios.

import type { Attributes, Tracer, TraceSpan } from '@reembed/telemetry'
import { expect, test } from 'vitest'
import type { Endpoint, RequestOptions } from '../src/client/endpoint.ts'
import type { Outcome } from '../src/client/outcome.ts'
import { tracedEndpoint } from '../src/trace.ts'

interface Recorded {
  readonly name: string
  attributes: Attributes
  failed?: string
  ended: number
}

function createRecorder(): Tracer & { readonly spans: Recorded[] } {
  const spans: Recorded[] = []
  return {
    spans,
    start(name, { attributes }): TraceSpan {
      const span: Recorded = { name, attributes, ended: 0 }
      spans.push(span)
      return {
        headers: { traceparent: `of span ${spans.length}` },
        set(more) {
          span.attributes = { ...span.attributes, ...more }
        },
        fail(type, message) {
          span.failed = `${type}: ${message}`
        },
        end() {
          span.ended += 1
        },
      }
    },
    within: (_, run) => run(),
    annotate: () => {},
  }
}

const answer: Outcome = {
  kind: 'ok',
  tokens: 7,
  queueMs: 1.5,
  inferenceMs: 20,
  totalMs: 23,
  badRows: [],
}

/** An endpoint whose requests come to `next`. */
function createEndpoint(url: string, next: () => Promise<Outcome>) {
  const options: (RequestOptions | undefined)[] = []
  const endpoint = {
    url,
    info: { kind: 'tei', modelId: 'bge', dimensions: 4 },
    route: '/embed',
    request(_texts: readonly string[], _vectors: Float32Array, given?: RequestOptions) {
      options.push(given)
      return next()
    },
  } as unknown as Endpoint
  return { endpoint, options }
}

test('without a tracer the endpoint is the very same', () => {
  const { endpoint } = createEndpoint('http://tei:8080', async () => answer)
  expect(tracedEndpoint(endpoint, undefined)).toBe(endpoint)
})

test.each([
  ['http://tei', { 'server.address': 'tei', 'server.port': 80, 'network.peer.address': undefined }],
  ['https://tei/a/path', { 'server.address': 'tei', 'server.port': 443 }],
  [
    'http://tei:8080 (10.1.2.3)',
    { 'server.address': 'tei', 'server.port': 8080, 'network.peer.address': '10.1.2.3' },
  ],
  ['http://tei:8080 (fd00::1)', { 'server.port': 8080, 'network.peer.address': 'fd00::1' }],
])('a request at %s is a span that says where it went', async (url, where) => {
  const tracer = createRecorder()
  const { endpoint, options } = createEndpoint(url, async () => answer)
  const traced = tracedEndpoint(endpoint, tracer)
  expect([traced.url, traced.route]).toEqual([url, '/embed'])
  expect(await traced.request(['a', 'b'], new Float32Array(8), { rows: [1, 0] })).toBe(answer)
  expect(options).toEqual([{ rows: [1, 0], headers: { traceparent: 'of span 1' } }])
  expect(tracer.spans).toMatchObject([
    {
      name: 'embeddings bge',
      ended: 1,
      attributes: {
        'gen_ai.operation.name': 'embeddings',
        'gen_ai.request.model': 'bge',
        'gen_ai.usage.input_tokens': 7,
        'reembed.request.texts': 2,
        'reembed.request.queue_ms': 1.5,
        ...where,
      },
    },
  ])
  expect(tracer.spans[0]?.failed).toBeUndefined()
})

test('what failed is a word and the words of the outcome; an abort is one too, and both end the span', async () => {
  const tracer = createRecorder()
  const outcomes: (() => Promise<Outcome>)[] = [
    async () => ({ kind: 'overload', message: 'no permits', status: 429 }),
    () => Promise.reject(new Error('the lock was lost')),
  ]
  const { endpoint } = createEndpoint('http://tei', () => (outcomes.shift() ?? (async () => answer))())
  const traced = tracedEndpoint(endpoint, tracer)
  expect(await traced.request(['a'], new Float32Array(4))).toMatchObject({ kind: 'overload' })
  await expect(traced.request(['a'], new Float32Array(4))).rejects.toThrow('the lock was lost')
  expect(tracer.spans.map(({ failed, ended }) => [failed, ended])).toEqual([
    ['overload: no permits', 1],
    ['aborted: aborted by the worker', 1],
  ])
  expect(tracer.spans[0]?.attributes['http.response.status_code']).toBe(429)
})
