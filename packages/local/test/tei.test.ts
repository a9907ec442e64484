import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import type { Engine } from '../src/tei/engine.ts'
import { createHashEngine, hashVector } from '../src/tei/hash-engine.ts'
import { type ServeTeiOptions, serveTei } from '../src/tei/server.ts'

const serve = (options: Partial<ServeTeiOptions> = {}) =>
  serveTei({ engine: createHashEngine({ dimensions: 8, maxInputLength: 6 }), ...options })

const post = (url: string, body: unknown, init: RequestInit = {}) =>
  fetch(url, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...init,
    headers: { 'content-type': 'application/json', ...init.headers },
  })

const vector = (text: string, dimensions = 8): number[] => [...hashVector(text, { dimensions })]

describe('TEI: embeddings', () => {
  it('answers a text, a list of texts, ids and lists of ids with rows on every embedding route', async () => {
    await using tei = await serve()
    for (const route of ['/embed', '/', '/invocations']) {
      const one = await post(`${tei.url}${route}`, { inputs: 'hello world' })
      expect(one.status).toBe(200)
      expect(one.headers.get('content-type')).toBe('application/json')
      expect(await one.json()).toEqual([vector('hello world')])
      const many = await post(`${tei.url}${route}`, { inputs: ['a', 'b b', 'c'] })
      expect(await many.json()).toEqual(['a', 'b b', 'c'].map(text => vector(text)))
    }
    expect(await (await post(`${tei.url}/embed`, { inputs: [7, 8] })).json()).toEqual([vector('#7 #8')])
    expect(await (await post(`${tei.url}/embed`, { inputs: [[7], 'x'] })).json()).toEqual([
      vector('#7'),
      vector('x'),
    ])
  })

  it('returns the same floats in base64, as numbers and on /embed', async () => {
    await using tei = await serve()
    const input = ['one', 'two two', 'three']
    for (const route of ['/v1/embeddings', '/embeddings']) {
      const floats = (await (
        await post(`${tei.url}${route}`, { input, model: 'any', user: 'me' })
      ).json()) as OpenAiReply
      const packed = (await (
        await post(`${tei.url}${route}`, { input, encoding_format: 'base64' })
      ).json()) as OpenAiReply
      expect(floats).toMatchObject({
        object: 'list',
        model: 'reembed/hash',
        usage: { prompt_tokens: 4, total_tokens: 4 },
      })
      expect(floats.data.map(({ index }) => index)).toEqual([0, 1, 2])
      expect(floats.data.map(({ embedding }) => embedding)).toEqual(input.map(text => vector(text)))
      expect(packed.data.map(({ embedding }) => fromBase64(String(embedding)))).toEqual(
        input.map(text => vector(text)),
      )
    }
  })

  it('reports tokens, characters and times in headers, as whole numbers', async () => {
    await using tei = await serve()
    const { headers } = await post(`${tei.url}/embed`, { inputs: ['a b c', '\u{1f600} d'] })
    expect(headers.get('x-compute-tokens')).toBe('5')
    expect(headers.get('x-compute-characters')).toBe('8')
    expect(headers.get('x-compute-type')).toBe('gpu+optimized')
    for (const name of ['compute', 'total', 'tokenization', 'queue', 'inference']) {
      expect(headers.get(`x-${name}-time`)).toMatch(/^\d+$/)
    }
  })

  it('normalises unless normalize is false, and again after truncating to fewer dimensions', async () => {
    await using tei = await serve()
    const [raw] = (await (
      await post(`${tei.url}/embed`, { inputs: 'x', normalize: false })
    ).json()) as number[][]
    expect(Math.hypot(...(raw ?? []))).not.toBeCloseTo(1, 3)
    const [cut] = (await (
      await post(`${tei.url}/embed`, { inputs: 'x', dimensions: 3 })
    ).json()) as number[][]
    expect(cut).toHaveLength(3)
    expect(Math.hypot(...(cut ?? []))).toBeCloseTo(1, 6)
    const ratio = (raw?.[0] ?? 0) / (cut?.[0] ?? 1)
    expect((raw?.[2] ?? 0) / (cut?.[2] ?? 1)).toBeCloseTo(ratio, 5)
  })

  it('truncates by default, from the right, and from the left on request', async () => {
    await using tei = await serve()
    const inputs = 'a b c d e f g h'
    const right = await post(`${tei.url}/embed`, { inputs })
    expect(right.headers.get('x-compute-tokens')).toBe('6')
    expect(await right.json()).toEqual([vector('a b c d e f')])
    const left = await post(`${tei.url}/embed`, { inputs, truncation_direction: 'left' })
    expect(await left.json()).toEqual([vector(' c d e f g h')])
  })

  it('prepends the named or the default prompt to the text', async () => {
    const engine = createHashEngine({ dimensions: 8, prompts: { query: 'query: ' } })
    await using tei = await serve({ engine })
    expect(await (await post(`${tei.url}/embed`, { inputs: 'x', prompt_name: 'query' })).json()).toEqual([
      vector('query: x'),
    ])
    const unknown = await post(`${tei.url}/embed`, { inputs: 'x', prompt_name: 'passage' })
    expect(unknown.status).toBe(422)
    await using prompted = await serve({ engine, defaultPromptName: 'query' })
    const reply = (await (await post(`${prompted.url}/v1/embeddings`, { input: 'x' })).json()) as OpenAiReply
    expect(reply.data[0]?.embedding).toEqual(vector('query: x'))
  })

  it('writes NaN as null in JSON and as its bits in base64', async () => {
    const engine: Engine = {
      ...createHashEngine({ dimensions: 2 }),
      embed: async () => new Float32Array([Number.NaN, 1]),
    }
    await using tei = await serve({ engine })
    expect(await (await post(`${tei.url}/embed`, { inputs: 'x', normalize: false })).json()).toEqual([
      [null, 1],
    ])
    const packed = (await (
      await post(`${tei.url}/v1/embeddings`, { input: 'x', encoding_format: 'base64' })
    ).json()) as OpenAiReply
    expect(fromBase64(String(packed.data[0]?.embedding))).toEqual([Number.NaN, Number.NaN])
  })
})

describe('TEI: refusals', () => {
  const error = (type: string, message: string) => ({
    native: { error: message, error_type: type },
    message,
    type,
  })
  const cases = [
    [
      'too large a batch',
      ['a', 'b', 'c', 'd', 'e'],
      422,
      error('Validation', 'batch size 5 > maximum allowed batch size 4'),
    ],
    ['an empty text', '', 400, error('Empty', 'Input validation error: `inputs` cannot be empty')],
    [
      'an empty text among others',
      ['a', ''],
      400,
      error('Empty', 'Input validation error: `inputs` cannot be empty'),
    ],
    [
      'an empty list, which is one empty list of ids',
      [],
      400,
      error('Empty', 'Input validation error: `inputs` cannot be empty'),
    ],
    [
      'too many tokens',
      ['a', 'a b c d e f g'],
      422,
      error('Validation', 'Input validation error: `inputs` must have less than 6 tokens. Given: 7'),
    ],
    [
      'too many characters',
      ['a', 'x'.repeat(1501)],
      422,
      error(
        'Validation',
        'Input validation error: `inputs` must have less than 1500 characters. Given: 1501',
      ),
    ],
    ['more inputs than permits', ['a', 'b', 'c', 'd'], 429, error('Overloaded', 'Model is overloaded')],
  ] as const

  it.each(cases)('refuses %s in both shapes', async (_, inputs, status, { native, message, type }) => {
    await using tei = await serve({ maxClientBatchSize: 4, autoTruncate: false, maxConcurrentRequests: 3 })
    const embed = await post(`${tei.url}/embed`, { inputs })
    expect([embed.status, await embed.json()]).toEqual([status, native])
    expect(embed.headers.get('x-compute-tokens')).toBeNull()
    const openAi = await post(`${tei.url}/v1/embeddings`, { input: inputs })
    expect([openAi.status, await openAi.json()]).toEqual([status, { message, code: status, type }])
  })

  it.each([
    [{ inputs: 'x', dimensions: 0 }, '`dimensions` should be positive'],
    [{ inputs: 'x', dimensions: 9 }, '`dimensions` should be smaller than the maximum embedding dimension.'],
  ])('refuses %j', async (body, message) => {
    await using tei = await serve()
    const reply = await post(`${tei.url}/embed`, body)
    expect([reply.status, await reply.json()]).toEqual([
      422,
      { error: `Input validation error: ${message}`, error_type: 'Validation' },
    ])
  })

  it('answers 424 to every request with a text in a failed batch', async () => {
    const engine: Engine = { ...createHashEngine(), embed: () => Promise.reject(new Error('out of memory')) }
    await using tei = await serve({ engine })
    const reply = await post(`${tei.url}/embed`, { inputs: ['a', 'b'] })
    expect([reply.status, await reply.json()]).toEqual([
      424,
      { error: 'Backend error: out of memory', error_type: 'Backend' },
    ])
  })

  it.each([
    [
      'no content type',
      '{"inputs":"x"}',
      { 'content-type': 'text/plain' },
      415,
      'Expected request with `Content-Type: application/json`',
    ],
    ['broken JSON', '{"inputs":', {}, 400, 'Failed to parse the request body as JSON: '],
    [
      'half a character',
      '{"inputs":"a\\ud800b"}',
      {},
      400,
      'Failed to parse the request body as JSON: lone leading surrogate in hex escape',
    ],
    [
      'a missing member',
      '{"input":"x"}',
      {},
      422,
      'Failed to deserialize the JSON body into the target type: missing field `inputs`',
    ],
    [
      'a wrong type',
      '{"inputs":{"a":1}}',
      {},
      422,
      'Failed to deserialize the JSON body into the target type: inputs: data did not match',
    ],
    [
      'a wrong flag',
      '{"inputs":"x","normalize":null}',
      {},
      422,
      'Failed to deserialize the JSON body into the target type: normalize: ',
    ],
    [
      'a body over the limit',
      JSON.stringify({ inputs: 'x'.repeat(3000) }),
      {},
      413,
      'Failed to buffer the request body: length limit exceeded',
    ],
  ])('rejects %s in plain text', async (_, body, headers, status, text) => {
    await using tei = await serve({ payloadLimit: 2000 })
    const reply = await post(`${tei.url}/embed`, body, { headers })
    expect(reply.status).toBe(status)
    expect(reply.headers.get('content-type')).toBe('text/plain; charset=utf-8')
    expect(await reply.text()).toContain(text)
  })

  it('rejects bytes that are not UTF-8, including gzip', async () => {
    await using tei = await serve()
    for (const body of [gzipSync('{"inputs":"x"}'), Buffer.from([0x22, 0xff, 0x22])]) {
      const headers = { 'content-type': 'application/json' }
      const reply = await fetch(`${tei.url}/embed`, { method: 'POST', body: new Uint8Array(body), headers })
      expect(reply.status).toBe(400)
    }
  })

  it('stops an upload without a content length at the limit, and serves further requests', async () => {
    await using tei = await serve({ payloadLimit: 1000 })
    const upload = httpRequest(`${tei.url}/embed`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    })
    upload.on('error', () => {})
    upload.write('x'.repeat(600))
    upload.write('x'.repeat(600))
    const [reply] = await once(upload, 'response')
    expect(reply.statusCode).toBe(413)
    upload.destroy()
    expect((await post(`${tei.url}/embed`, { inputs: 'x' })).status).toBe(200)
  })

  it('requires the key on all routes but those of probes, and answers 401 without a body', async () => {
    await using tei = await serve({ apiKey: 'secret' })
    const headers = { authorization: 'Bearer secret' }
    for (const [path, body] of [
      ['/embed', { inputs: 'x' }],
      ['/v1/embeddings', { input: 'x' }],
      ['/tokenize', { inputs: 'x' }],
    ] as const) {
      const refused = await post(`${tei.url}${path}`, body)
      expect([refused.status, await refused.text()]).toEqual([401, ''])
      expect((await post(`${tei.url}${path}`, body, { headers })).status).toBe(200)
    }
    expect((await fetch(`${tei.url}/info`)).status).toBe(401)
    expect((await fetch(`${tei.url}/info`, { headers })).status).toBe(200)
    for (const path of ['/', '/health', '/ping', '/metrics'])
      expect((await fetch(`${tei.url}${path}`)).status).toBe(200)
  })

  it('answers 404 and 405 without a body', async () => {
    await using tei = await serve()
    expect((await fetch(`${tei.url}/nowhere`)).status).toBe(404)
    const get = await fetch(`${tei.url}/embed`)
    expect([get.status, get.headers.get('allow'), await get.text()]).toEqual([405, 'POST', ''])
  })
})

describe('TEI: permits and the queue', () => {
  it('counts permits in inputs, refuses a whole request at once, and releases them with the reply', async () => {
    const gate = gated()
    await using tei = await serve({ engine: gate.engine, maxConcurrentRequests: 4 })
    const first = post(`${tei.url}/embed`, { inputs: ['a', 'b', 'c'] })
    await gate.entered
    expect((await post(`${tei.url}/embed`, { inputs: ['d', 'e'] })).status).toBe(429)
    const fits = post(`${tei.url}/embed`, { inputs: 'f' })
    gate.open()
    expect((await first).status).toBe(200)
    expect((await fits).status).toBe(200)
    expect((await post(`${tei.url}/embed`, { inputs: ['d', 'e', 'f', 'g'] })).status).toBe(200)
  })

  it('releases permits and embeds nothing when the client disconnects', async () => {
    const gate = gated()
    await using tei = await serve({ engine: gate.engine, maxConcurrentRequests: 2 })
    const running = post(`${tei.url}/embed`, { inputs: 'running' })
    await gate.entered
    const disconnected = new AbortController()
    const waiting = post(`${tei.url}/embed`, { inputs: 'waiting' }, { signal: disconnected.signal })
    await until(async () => (await metricsOf(tei.url)).includes('te_queue_size 1'))
    disconnected.abort()
    await expect(waiting).rejects.toThrow()
    // The permit is free while the first batch still runs, so another request enters the queue.
    const next = untilAccepted(() => post(`${tei.url}/embed`, { inputs: 'next' }))
    await until(async () => (await metricsOf(tei.url)).includes('te_queue_size 2'))
    gate.open()
    expect((await next).status).toBe(200)
    expect((await running).status).toBe(200)
    expect(await metricsOf(tei.url)).toContain('te_request_failure{err="dropped"} 1')
    expect(gate.batches.flat()).not.toContain('waiting')
  })

  it('fills batches first in, first out, up to the token limit, across requests', async () => {
    const gate = gated()
    await using tei = await serve({ engine: gate.engine, maxBatchTokens: 6 })
    const first = post(`${tei.url}/embed`, { inputs: 'first' })
    await gate.entered
    const second = post(`${tei.url}/embed`, { inputs: ['a b c', 'd e', 'f g'] })
    await until(async () => (await metricsOf(tei.url)).includes('te_queue_size 3'))
    const third = post(`${tei.url}/embed`, { inputs: ['h', 'i j k l'] })
    await until(async () => (await metricsOf(tei.url)).includes('te_queue_size 5'))
    gate.open()
    expect(await (await second).json()).toEqual(['a b c', 'd e', 'f g'].map(text => vector(text)))
    expect(await (await third).json()).toEqual(['h', 'i j k l'].map(text => vector(text)))
    await first
    expect(gate.batches).toEqual([['first'], ['a b c', 'd e'], ['f g', 'h'], ['i j k l']])
  })

  it('divides a short queue among the lanes of the engine', async () => {
    const gate = gated({ lanes: 2 })
    await using tei = await serve({ engine: gate.engine })
    gate.open()
    await post(`${tei.url}/embed`, { inputs: ['a', 'b', 'c'] })
    expect(gate.batches).toEqual([['a', 'b'], ['c']])
  })

  it('counts padding where the engine pads', async () => {
    const gate = gated({ padded: true })
    await using tei = await serve({ engine: gate.engine, maxBatchTokens: 6 })
    gate.open()
    await post(`${tei.url}/embed`, { inputs: ['a', 'b c d', 'e', 'f', 'g'] })
    expect(gate.batches).toEqual([
      ['a', 'b c d'],
      ['e', 'f', 'g'],
    ])
  })
})

describe('TEI: /info, /health, /metrics and tokenization', () => {
  it('reports the model and its limits on /info, without the dimensions', async () => {
    const engine = createHashEngine({ model: 'acme/tuned', sha: 'abc123', dimensions: 8 })
    await using tei = await serve({ engine, servedModelName: 'acme/tuned@abc123', maxBatchTokens: 100 })
    expect(await (await fetch(`${tei.url}/info`)).json()).toEqual({
      model_id: 'acme/tuned',
      model_sha: 'abc123',
      model_dtype: 'float32',
      served_model_name: 'acme/tuned@abc123',
      model_type: { embedding: { pooling: 'mean' } },
      max_concurrent_requests: 512,
      max_input_length: 100,
      max_batch_tokens: 100,
      max_batch_requests: null,
      max_client_batch_size: 32,
      auto_truncate: true,
      tokenization_workers: 1,
      version: '1.9.3',
      sha: null,
      docker_label: null,
    })
    const reply = (await (
      await post(`${tei.url}/v1/embeddings`, { input: 'x', model: 'other' })
    ).json()) as OpenAiReply
    expect(reply.model).toBe('acme/tuned@abc123')
  })

  it('answers /health with an empty body', async () => {
    await using tei = await serve()
    for (const path of ['/health', '/', '/ping']) {
      const reply = await fetch(`${tei.url}${path}`)
      expect([reply.status, await reply.text()]).toEqual([200, ''])
    }
  })

  it('returns tokens with their spans in code points, and decodes ids to text', async () => {
    await using tei = await serve()
    expect(await (await post(`${tei.url}/tokenize`, { inputs: ['\u{1f600} b'] })).json()).toEqual([
      [
        { id: expect.any(Number), text: '\u{1f600}', special: false, start: 0, stop: 1 },
        { id: expect.any(Number), text: ' b', special: false, start: 1, stop: 3 },
      ],
    ])
    expect(await (await post(`${tei.url}/decode`, { ids: [[7, 8], [9]] })).json()).toEqual(['#7 #8', '#9'])
  })

  it('counts requests, failures and batches with the metric names of TEI', async () => {
    await using tei = await serve({ maxClientBatchSize: 2 })
    await post(`${tei.url}/embed`, { inputs: 'x y' })
    await post(`${tei.url}/v1/embeddings`, { input: ['x', 'y'] })
    await post(`${tei.url}/embed`, { inputs: ['x', 'y', 'z'] })
    await post(`${tei.url}/embed`, { inputs: '' })
    const text = await metricsOf(tei.url)
    expect(text.split('\n')).toEqual(
      expect.arrayContaining([
        '# TYPE te_request_count counter',
        'te_request_count{method="single"} 2',
        'te_request_count{method="batch"} 2',
        'te_request_success{method="single"} 1',
        'te_request_success{method="batch"} 1',
        'te_request_failure{err="batch_size"} 1',
        'te_request_failure{err="tokenization"} 1',
        'te_embed_success 3',
        'te_queue_size 0',
        'te_request_input_length_sum 4',
        'te_request_input_length_count 3',
        'te_request_duration_count 2',
        'te_embed_inference_duration_count 3',
        'te_batch_next_tokens_sum 4',
      ]),
    )
  })

  it('refuses invalid flags', async () => {
    await expect(serve({ maxClientBatchSize: 0 })).rejects.toMatchObject({ code: 'USAGE' })
    await expect(serve({ maxBatchTokens: 2, autoTruncate: false })).rejects.toMatchObject({ code: 'USAGE' })
    await expect(serve({ defaultPromptName: 'query' })).rejects.toMatchObject({ code: 'USAGE' })
  })

  it('completes requests in flight when it is disposed', async () => {
    const gate = gated()
    const tei = await serve({ engine: gate.engine })
    const running = post(`${tei.url}/embed`, { inputs: 'running' })
    await gate.entered
    const ended = tei[Symbol.asyncDispose]()
    await expect(fetch(`${tei.url}/health`)).rejects.toThrow()
    gate.open()
    expect((await running).status).toBe(200)
    await ended
  })
})

interface OpenAiReply {
  readonly model: string
  readonly data: readonly { readonly embedding: readonly number[] | string; readonly index: number }[]
}

function fromBase64(text: string): number[] {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'))
  return [...new Float32Array(bytes.buffer)]
}

const metricsOf = async (url: string): Promise<string> => (await fetch(`${url}/metrics`)).text()

/** Polls until the condition holds; another process or connection emits no event. */
async function until(isSo: () => Promise<boolean | undefined>): Promise<void> {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; ) if (await isSo()) return
  throw new Error('it did not become so within 10 s')
}

async function untilAccepted(send: () => Promise<Response>): Promise<Response> {
  for (;;) {
    const reply = await send()
    if (reply.status !== 429) return reply
  }
}

/**
 * A hash engine whose first batch waits until the test releases it, and that records its batches.
 */
function gated({ padded = false, lanes = 1 } = {}) {
  const hash = createHashEngine({ dimensions: 8, maxInputLength: 6 })
  const entered = Promise.withResolvers<void>()
  const opened = Promise.withResolvers<void>()
  const batches: string[][] = []
  const engine: typeof hash = {
    ...hash,
    padded,
    concurrentBatches: lanes,
    async embed(batch) {
      batches.push(batch.map(({ text }) => text))
      entered.resolve()
      await opened.promise
      return hash.embed(batch)
    },
  }
  return {
    engine,
    batches,
    entered: entered.promise,
    opened: opened.promise,
    open: () => opened.resolve(),
  }
}
