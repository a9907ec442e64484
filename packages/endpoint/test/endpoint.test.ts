import { getEventListeners, once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  base64,
  DIMENSIONS,
  INFO,
  openaiReply,
  type Script,
  type ScriptedEndpoint,
  sendError,
  sendJson,
  startScriptedEndpoint,
  vectorOf,
} from '@reembed/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Endpoint, EndpointOptions } from '../src/client/endpoint.ts'
import { openEndpoint } from '../src/client/open.ts'
import type { Outcome } from '../src/client/outcome.ts'

let server: ScriptedEndpoint
const opened: Endpoint[] = []

beforeEach(async () => {
  server = await startScriptedEndpoint()
})
afterEach(async () => {
  for (const endpoint of opened.splice(0)) await endpoint[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

async function open(options: EndpointOptions = {}): Promise<Endpoint> {
  const endpoint = await openEndpoint(server.url, options)
  opened.push(endpoint)
  return endpoint
}

const TEXTS = ['first', 'second text', 'the third of the texts']

/** Opens the endpoint, then sends `TEXTS` once to a server that follows `script`. */
async function request(script: Script, options?: EndpointOptions): Promise<Outcome> {
  const endpoint = await open(options)
  server.script(script)
  return endpoint.request(TEXTS, new Float32Array(TEXTS.length * DIMENSIONS))
}

describe('openEndpoint', () => {
  test('learns from /info what it states and from a first embedding what it does not', async () => {
    const { info, route, url } = await open()
    expect(url).toBe(server.url)
    expect(route).toBe('/v1/embeddings')
    expect(info).toEqual({
      kind: 'tei',
      modelId: 'test/model',
      revision: 'r1',
      pooling: 'mean',
      dimensions: DIMENSIONS,
      normalized: true,
      maxClientBatchSize: 32,
      maxConcurrentRequests: 512,
      maxInputLength: 512,
      maxBatchTokens: 16384,
      maxBatchRequests: null,
      maxRequestTokens: null,
      autoTruncate: true,
      version: '1.9.3',
      payloadLimit: 2_000_000,
    })
  })

  test('model_sha is the revision where the server states one', async () => {
    server.info = { ...INFO, model_sha: 'abc123' }
    expect((await open()).info.revision).toBe('abc123')
  })

  test('a revision given by the user counts where the server states none, and must not differ where it does', async () => {
    await expect(open({ revision: 'r2' })).rejects.toMatchObject({
      code: 'MODEL_MISMATCH',
      message: expect.stringContaining('serves test/model@r1'),
    })
    server.info = { ...INFO, served_model_name: 'test/model' }
    expect((await open({ revision: 'r2' })).info.revision).toBe('r2')
  })

  test('a server that does not truncate by itself is asked to by /embed', async () => {
    server.info = { ...INFO, auto_truncate: false }
    const endpoint = await open()
    expect(endpoint.route).toBe('/embed')
    await endpoint.request(['x'], new Float32Array(endpoint.info.dimensions))
    expect(server.calls.at(-1)?.body).toEqual({ inputs: ['x'], truncate: true })
  })

  test('a server that truncates by default is used by /embed with truncate false', async () => {
    const endpoint = await open({ truncate: false })
    await endpoint.request(['x'], new Float32Array(endpoint.info.dimensions))
    expect(server.calls.at(-1)?.body).toEqual({ inputs: ['x'], truncate: false })
    // Reference texts and queries are truncated nevertheless: rejecting them would help no caller.
    await endpoint.embed(['x'])
    expect(server.calls.at(-1)?.body).toEqual({ inputs: ['x'], truncate: true })
  })

  test('without the OpenAI route it falls back to /embed', async () => {
    server.script(({ route }, response) => route !== '/embed' && sendError(response, 404, 'x', ''))
    expect((await open()).route).toBe('/embed')
  })

  test('routes that give different vectors are not mixed: /embed is right', async () => {
    server.script(
      ({ route, texts }, response) =>
        route !== '/embed' &&
        sendJson(response, 200, openaiReply(texts.map(text => vectorOf(`other ${text}`)))),
    )
    expect((await open()).route).toBe('/embed')
  })

  test('a server with only OpenAI routes works with the name of its model', async () => {
    server.info = { detail: 'Not Found' }
    server.model = 'text-embedding-3-small'
    const endpoint = await open({ model: 'text-embedding-3-small', revision: '2024', token: 'sk-secret' })
    expect(endpoint.info).toMatchObject({
      kind: 'openai',
      modelId: 'text-embedding-3-small',
      revision: '2024',
    })
    await endpoint.embed(['x'])
    const call = server.calls.at(-1)
    expect(call?.headers.authorization).toBe('Bearer sk-secret')
    expect(call?.body).toMatchObject({ model: 'text-embedding-3-small', encoding_format: 'base64' })
  })

  test('what is no endpoint is refused with what it answered and what to do', async () => {
    server.info = { hello: 'world' }
    await expect(open()).rejects.toMatchObject({
      code: 'ENDPOINT_UNSUPPORTED',
      retry: 'never',
      message: expect.stringMatching(
        /is not a TEI endpoint: GET \/info states no model_id.*name of its model/,
      ),
    })
  })

  test('a web site is no endpoint that comes up later', async () => {
    const site = createServer((_request, response) => {
      response.writeHead(404, { 'content-type': 'text/html' }).end('<html>not found</html>')
    })
    await once(site.listen(0, '127.0.0.1'), 'listening')
    const { port } = site.address() as AddressInfo
    await expect(openEndpoint(`http://127.0.0.1:${port}`)).rejects.toMatchObject({
      code: 'ENDPOINT_UNSUPPORTED',
      retry: 'never',
    })
    site.close()
  })

  test('rerankers and sparse models are refused by name', async () => {
    server.info = { ...INFO, model_type: { reranker: {} } }
    await expect(open()).rejects.toThrow('test/model is not an embedding model but reranker')
    server.info = { ...INFO, model_type: { embedding: { pooling: 'splade' } } }
    await expect(open()).rejects.toThrow('sparse')
  })

  test('an endpoint that is unreachable or starting fails with retry requeue', async () => {
    await expect(openEndpoint('http://127.0.0.1:9')).rejects.toMatchObject({
      code: 'ENDPOINT_UNREACHABLE',
      retry: 'requeue',
    })
    server.script((_call, response) => sendJson(response, 503, { error: '503 Service Unavailable' }))
    await expect(open()).rejects.toMatchObject({ code: 'ENDPOINT_UNREACHABLE', retry: 'requeue' })
  })

  test('a wrong token is refused at once, and never shown', async () => {
    server.script((_call, response) => sendError(response, 401, 'x', ''))
    const refusal = open({ token: 'sk-secret' })
    await expect(refusal).rejects.toMatchObject({ code: 'ENDPOINT_ACCESS_DENIED', retry: 'requeue' })
    await expect(refusal).rejects.not.toThrow('sk-secret')
  })

  test('a first vector of NaN refuses the endpoint', async () => {
    server.script(({ route, texts }, response) =>
      sendJson(response, 200, route === '/embed' ? texts.map(() => Array(DIMENSIONS).fill(null)) : {}),
    )
    await expect(open()).rejects.toMatchObject({ code: 'REPLY_INVALID' })
  })

  test.each([
    ['ftp://host', 'must be an http:// or https:// URL'],
    ['host:8080', 'must be an http:// or https:// URL'],
    ['http://user:pass@host', 'not hold a password'],
    ['http://host/?key=1', 'a query'],
  ])('%s is a usage error that does not repeat a secret', async (url, message) => {
    const refusal = openEndpoint(url)
    await expect(refusal).rejects.toMatchObject({ code: 'USAGE', message: expect.stringContaining(message) })
    await expect(refusal).rejects.not.toThrow('pass@')
  })

  test('a token does not travel unencrypted to another machine unless told', async () => {
    await expect(openEndpoint('http://tei.example:80', { token: 't' })).rejects.toMatchObject({
      code: 'USAGE',
    })
  })

  test.each(['', '/', '/v1', '/v1/', '/v1/embeddings', '/embed'])('the URL may end in %j', async end => {
    const endpoint = await openEndpoint(server.url + end)
    opened.push(endpoint)
    expect(endpoint.url).toBe(server.url)
  })

  test('opening ends with its signal', async () => {
    server.script(() => new Promise(() => {}))
    const signal = AbortSignal.timeout(20)
    await expect(open({ signal })).rejects.toHaveProperty('name', 'TimeoutError')
  })
})

describe('request', () => {
  test.each([
    ['12', 12],
    ['12.5', null],
    ['-3', null],
    ['0', null],
    ['9'.repeat(400), null],
    ['1e400', null],
    ['9007199254740993', null],
    ['twelve', null],
  ])('x-compute-tokens: %s gives the token count %s', async (header, tokens) => {
    const outcome = await request(({ texts }, response) =>
      sendJson(
        response,
        200,
        openaiReply(
          texts.map(text => vectorOf(text)),
          'test/model@r1',
          0,
        ),
        {
          'x-compute-tokens': header,
          'x-queue-time': '9'.repeat(400),
        },
      ),
    )
    expect(outcome).toMatchObject({ kind: 'ok', tokens, queueMs: null })
  })

  test.each([12.5, -3, 0, Number.MAX_VALUE, 2 ** 60, '12', null])(
    'a reply with usage.prompt_tokens %s has no token count',
    async count => {
      const outcome = await request(({ texts }, response) => {
        const reply = openaiReply(texts.map(text => vectorOf(text))) as object
        return sendJson(response, 200, { ...reply, usage: { prompt_tokens: count } })
      })
      expect(outcome).toMatchObject({ kind: 'ok', tokens: null })
    },
  )

  test('each vector is decoded to its own row and the server’s own counts are read', async () => {
    const endpoint = await open()
    const vectors = new Float32Array(5 * DIMENSIONS)
    const outcome = await endpoint.request(TEXTS, vectors, { rows: [4, 0, 2] })
    expect(outcome).toMatchObject({ kind: 'ok', tokens: 17, queueMs: 3, inferenceMs: 7, badRows: [] })
    for (const [i, row] of [4, 0, 2].entries()) {
      expect(vectors.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS)).toEqual(vectorOf(TEXTS[i] ?? ''))
    }
    expect(vectors.subarray(DIMENSIONS, 2 * DIMENSIONS)).toEqual(new Float32Array(DIMENSIONS))
  })

  test('many at once, over kept connections, never mix their rows', async () => {
    const endpoint = await open()
    const vectors = new Float32Array(320 * DIMENSIONS)
    for (let round = 0; round < 5; round++) {
      await Promise.all(
        Array.from({ length: 40 }, async (_, n) => {
          const rows = Array.from({ length: 8 }, (_, i) => n * 8 + i)
          await endpoint.request(
            rows.map(row => `text ${row}`),
            vectors,
            { rows },
          )
        }),
      )
    }
    for (let row = 0; row < 320; row++) {
      expect(vectors.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS)).toEqual(vectorOf(`text ${row}`))
    }
    // undici keeps a connection out of use for one turn of the event loop, so there may be two sets
    // of 40.
    expect(server.connections).toBeLessThanOrEqual(81)
  })

  test('a reply split at every byte is read like a whole one', async () => {
    const outcome = await request(async ({ texts }, response) => {
      const body = Buffer.from(JSON.stringify(openaiReply(texts.map(text => vectorOf(text)))))
      response.socket?.setNoDelay(true)
      response.writeHead(200, { 'content-type': 'application/json' })
      for (let i = 0; i < body.length; i += 7) {
        response.write(body.subarray(i, i + 7))
        await new Promise(setImmediate)
      }
      response.end()
      return true
    })
    expect(outcome).toMatchObject({ kind: 'ok', badRows: [] })
  })

  test('NaN in base64 and null in JSON are bad rows; the others count', async () => {
    const spoil = (vectors: Float32Array[]): Float32Array[] => {
      vectors[1]?.fill(Number.NaN, 3, 4)
      return vectors
    }
    expect(
      await request(({ texts }, response) =>
        sendJson(response, 200, openaiReply(spoil(texts.map(text => vectorOf(text))))),
      ),
    ).toMatchObject({ kind: 'ok', badRows: [1] })
    server.info = { ...INFO, auto_truncate: false }
    server.script(() => false)
    expect(
      await request(({ texts }, response) =>
        sendJson(
          response,
          200,
          spoil(texts.map(text => vectorOf(text))).map(vector => [...vector]),
        ),
      ),
    ).toMatchObject({ kind: 'ok', badRows: [1] })
  })

  test.each<[string, Outcome['kind'], Script]>([
    [
      'fewer vectors',
      'corrupt',
      ({ texts }, response) =>
        sendJson(response, 200, openaiReply(texts.slice(1).map(text => vectorOf(text)))),
    ],
    [
      'another dimension',
      'corrupt',
      ({ texts }, response) => sendJson(response, 200, openaiReply(texts.map(text => vectorOf(text, 8)))),
    ],
    [
      'another model',
      'wrong_model',
      ({ texts }, response) =>
        sendJson(
          response,
          200,
          openaiReply(
            texts.map(text => vectorOf(text)),
            'test/model@r2',
          ),
        ),
    ],
    [
      'no model any more',
      'wrong_model',
      ({ texts }, response) =>
        sendJson(response, 200, {
          data: texts.map((text, index) => ({ embedding: base64(vectorOf(text)), index })),
        }),
    ],
    [
      'cut JSON of the announced length',
      'corrupt',
      (_call, response) => {
        response.writeHead(200).end('{"object":"list","data":[{"obj')
        return true
      },
    ],
    [
      'a page of HTML',
      'gateway',
      (_call, response) => {
        response.writeHead(200, { 'content-type': 'text/html' }).end('<html>busy</html>')
        return true
      },
    ],
    [
      'an empty body',
      'corrupt',
      (_call, response) => {
        response.writeHead(200).end()
        return true
      },
    ],
    [
      'a redirect',
      'redirect',
      (_call, response) => {
        response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end()
        return true
      },
    ],
    [
      'a body cut by a reset',
      'reset',
      (_call, response) => {
        response.writeHead(200, { 'content-length': 5000 })
        response.write('{"data')
        setImmediate(() => response.socket?.resetAndDestroy())
        return true
      },
    ],
    [
      'a reset before any answer',
      'reset',
      (_call, response) => {
        response.socket?.resetAndDestroy()
        return true
      },
    ],
    [
      'overload',
      'overload',
      (_call, response) => sendError(response, 429, 'Overloaded', 'Model is overloaded'),
    ],
    [
      'a batch limit',
      'batch_limit',
      (_call, response) =>
        sendError(response, 422, 'Validation', 'batch size 3 > maximum allowed batch size 2'),
    ],
  ])('%s is %s, not an exception', async (_name, kind, script) => {
    expect(await request(script)).toMatchObject({ kind })
  })

  test('a kept connection that turns out closed is replaced at once, unseen', async () => {
    const outcome = await request(({ number }, response) => {
      if (number === 1) response.socket?.resetAndDestroy()
      return number === 1
    })
    expect(outcome).toMatchObject({ kind: 'ok' })
    expect(server.calls).toHaveLength(2)
  })

  test('a server restarted without auto-truncate gets truncate in each further request', async () => {
    const endpoint = await open()
    server.script(
      ({ route }, response) =>
        route !== '/embed' &&
        sendError(response, 422, 'Validation', '`inputs` must have less than 512 tokens. Given: 534'),
    )
    const vectors = new Float32Array(DIMENSIONS)
    expect(await endpoint.request(['long'], vectors)).toMatchObject({ kind: 'ok' })
    expect(await endpoint.request(['long'], vectors)).toMatchObject({ kind: 'ok' })
    expect(server.calls.map(({ route }) => route)).toEqual(['/v1/embeddings', '/embed', '/embed'])
    expect(endpoint.route).toBe('/embed')
  })

  test('requests that wait for an answer hold no memory for it', async () => {
    const endpoint = await open()
    const waiting = 200
    const arrived = Promise.withResolvers<void>()
    const answer = Promise.withResolvers<void>()
    let asked = 0
    server.script(async () => {
      asked += 1
      if (asked === waiting) arrived.resolve()
      await answer.promise
      return false
    })
    const before = process.memoryUsage().arrayBuffers
    const outcomes = Array.from({ length: waiting }, () =>
      endpoint.request(['x'], new Float32Array(DIMENSIONS)),
    )
    await arrived.promise
    // A reply gets 256 KiB: 50 MiB, were it taken before there is a byte of one.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(25 * 2 ** 20)
    answer.resolve()
    expect(new Set((await Promise.all(outcomes)).map(({ kind }) => kind))).toEqual(new Set(['ok']))
  })

  test('a stalled body ends at the deadline, and its connection is not used again', async () => {
    const endpoint = await open({ timeoutMs: 500 })
    server.script(({ number }, response) => {
      if (number === 1) response.writeHead(200, { 'content-length': 5000 }).write('{"data')
      return number === 1
    })
    const vectors = new Float32Array(DIMENSIONS)
    expect(await endpoint.request(['x'], vectors)).toMatchObject({ kind: 'timeout' })
    expect(await endpoint.request(['x'], vectors)).toMatchObject({ kind: 'ok' })
    expect(vectors).toEqual(vectorOf('x'))
  })

  test('a body without end is cut off', async () => {
    const outcome = await request((_call, response) => {
      response.writeHead(200)
      const mebibyte = Buffer.alloc(1024 * 1024, 0x20)
      const pour = (): void => {
        while (!response.destroyed && response.write(mebibyte));
        if (!response.destroyed) response.once('drain', pour)
      }
      pour()
      return true
    })
    expect(outcome).toMatchObject({ kind: 'corrupt', message: expect.stringContaining('longer than') })
  })

  test('an abort ends the request with the signal’s reason and frees the server', async () => {
    const endpoint = await open()
    const gone = Promise.withResolvers<void>()
    const stop = new AbortController()
    server.script((_call, response) => {
      response.on('close', () => gone.resolve())
      stop.abort(new Error('enough'))
      return true
    })
    const vectors = new Float32Array(DIMENSIONS)
    await expect(endpoint.request(['x'], vectors, { signal: stop.signal })).rejects.toThrow('enough')
    await gone.promise
    await expect(endpoint.request(['x'], vectors, { signal: stop.signal })).rejects.toThrow('enough')
  })

  test('a hundred requests under one signal leave no listener and no warning', async () => {
    const warnings: string[] = []
    const heard = (warning: Error): void => void warnings.push(warning.name)
    process.on('warning', heard)
    const endpoint = await open()
    const { signal } = new AbortController()
    await Promise.all(
      Array.from({ length: 100 }, () => endpoint.request(['x'], new Float32Array(DIMENSIONS), { signal })),
    )
    expect(getEventListeners(signal, 'abort')).toEqual([])
    await new Promise(setImmediate)
    process.off('warning', heard)
    expect(warnings).toEqual([])
  })
})
