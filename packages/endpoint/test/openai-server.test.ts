// Opening an OpenAI-compatible server finds the form and the size of requests that it accepts.

import { type OpenaiServerOptions, startOpenaiServer, vectorOf } from '@reembed/testing'
import { describe, expect, test } from 'vitest'
import type { EndpointOptions } from '../src/client/endpoint.ts'
import { openEndpoint } from '../src/client/open.ts'
import { computeReference, referenceTexts } from '../src/identity.ts'

const TOKEN = 'secret-token'

async function opening(options: OpenaiServerOptions, given: EndpointOptions = {}, path = '') {
  await using server = await startOpenaiServer(options)
  await using endpoint = await openEndpoint(server.url + path, { model: 'm', ...given })
  const { info } = endpoint
  const vectors = await endpoint.embed(['a text'])
  return { info, vectors, refused: server.refused, answered: server.answered, url: endpoint.url }
}

test.each([1, 2, 3, 10, 25, 31, 32])(
  'a limit of %d inputs is found when the server is opened',
  async maxInputs => {
    const { info, refused } = await opening({ maxInputs })
    expect(info.maxClientBatchSize).toBe(maxInputs)
    expect(refused.length).toBeLessThan(6)
  },
)

test('a server without a limit of inputs gets requests of 32, and refuses none', async () => {
  const { info, refused, answered } = await opening({})
  expect({ most: info.maxClientBatchSize, refused, answered }).toEqual({
    most: 32,
    refused: [],
    answered: [1, 32, 1],
  })
})

test('a server that refuses base64 gets requests for numbers', async () => {
  const { vectors, refused } = await opening({ refusesBase64: true })
  expect(vectors.some(value => value !== 0)).toBe(true)
  expect(refused).toHaveLength(1)
})

describe('a vLLM', () => {
  async function sending(vllm: 'bytes' | 'refused' | 'json' | 'small_headers', halfPrecision = false) {
    await using server = await startOpenaiServer({ vllm })
    await using endpoint = await openEndpoint(server.url, { model: 'm' })
    const { dimensions } = endpoint.info
    const texts = ['an owl', 'a field mouse', 'grass']
    const rows = [2, 0, 1]
    const vectors = new Float32Array(texts.length * dimensions)
    const outcome = await endpoint.request(texts, vectors, { rows, halfPrecision })
    const expected = new Float32Array(vectors.length)
    for (const [i, text] of texts.entries()) expected.set(vectorOf(text), (rows[i] ?? 0) * dimensions)
    return { outcome, vectors, expected, encoding: server.encodings.at(-1), info: endpoint.info }
  }

  test('that offers replies of bytes sends them, exact in float32', async () => {
    const { outcome, vectors, expected, encoding, info } = await sending('bytes')
    expect(encoding).toBe('bytes float32')
    expect(vectors).toEqual(expected)
    expect(outcome).toMatchObject({ kind: 'ok', tokens: 8, badRows: [] })
    expect(info.version).toBe('vllm')
  })

  test('sends half precision where that suffices: what is stored as float16 is the same', async () => {
    const { vectors, expected, encoding } = await sending('bytes', true)
    expect(encoding).toBe('bytes float16')
    expect(vectors).not.toEqual(expected)
    expect(new Float16Array(vectors)).toEqual(new Float16Array(expected))
  })

  test.each(['refused', 'json', 'small_headers'] as const)(
    'whose bytes are %s is used by base64, in float32 even where half precision suffices',
    async vllm => {
      const { vectors, expected, encoding } = await sending(vllm, true)
      expect(encoding).toBe('base64')
      expect(vectors).toEqual(expected)
    },
  )
})

test.each([200, 400, 401, 403, 404, 418, 500, 503])(
  'a server that answers %d to /info is used by its embeddings route',
  async otherStatus => {
    expect((await opening({ otherStatus })).info).toMatchObject({ kind: 'openai', modelId: 'm' })
  },
)

describe('the URL of an embeddings route', () => {
  test.each([
    '/v1beta/openai/embeddings',
    '/openai/deployments/x/embeddings?api-version=2024-10-21',
    '/embeddings?key=secret',
  ])('%s is used as it stands, and its query is not shown', async route => {
    const { info, url } = await opening({ route }, {}, route)
    expect(info.kind).toBe('openai')
    expect(url).not.toContain('?')
  })

  test('without the version is found from the URL of the server', async () => {
    expect((await opening({ route: '/embeddings' })).info.kind).toBe('openai')
  })
})

test.each(['api-key', 'authorization'] as const)(
  'the token is sent by %s where the server reads it',
  async header => {
    const key = { header, token: TOKEN }
    expect((await opening({ key }, { token: TOKEN })).info.kind).toBe('openai')
  },
)

test('a token that no header makes valid is refused, and never shown', async () => {
  const key = { header: 'api-key', token: 'another' } as const
  const refusal = opening({ key }, { token: TOKEN })
  await expect(refusal).rejects.toMatchObject({ code: 'ENDPOINT_ACCESS_DENIED' })
  await expect(refusal).rejects.not.toThrow(TOKEN)
})

describe('the proof of the model', () => {
  test('uses a shorter text where the server refuses the long one, and learns the limit', async () => {
    await using server = await startOpenaiServer({ maxTextTokens: 512, maxRequestTokens: 900 })
    await using endpoint = await openEndpoint(server.url, { model: 'm' })
    const { texts, vectors } = await computeReference(endpoint)
    expect(texts).toHaveLength(referenceTexts.length)
    expect(texts.at(-1)?.length).toBeLessThan(512 * 4)
    expect(vectors).toHaveLength(texts.length)
    expect(endpoint.info.maxInputLength).toBe(512)
  })

  test('leaves the long text out where every length is refused', async () => {
    await using server = await startOpenaiServer({ maxTextTokens: 32 })
    await using endpoint = await openEndpoint(server.url, { model: 'm' })
    expect((await computeReference(endpoint)).texts).toEqual(referenceTexts.slice(0, -1))
  })
})

test.each([
  [false, 2],
  [true, null],
])('characters in the place of tokens (%s) are no token count', async (countsCharacters, tokens) => {
  await using server = await startOpenaiServer({ countsCharacters })
  await using endpoint = await openEndpoint(server.url, { model: 'm' })
  const outcome = await endpoint.request(['a text'], new Float32Array(endpoint.info.dimensions))
  expect(outcome).toMatchObject({ kind: 'ok', tokens })
})

describe('limits that the caller sets', () => {
  test('lower what the server accepts, and no request exceeds them', async () => {
    const limits = { inputs: 4, requestTokens: 500, textTokens: 100 }
    const { info, answered } = await opening({ maxInputs: 10 }, { limits })
    expect(info).toMatchObject({ maxClientBatchSize: 4, maxRequestTokens: 500, maxInputLength: 100 })
    expect(Math.max(...answered)).toBe(4)
  })

  test('do not raise what the server refuses', async () => {
    const { info } = await opening({ maxInputs: 10 }, { limits: { inputs: 20 } })
    expect(info.maxClientBatchSize).toBe(10)
  })
})
