// One model per reply, over real HTTP: a server that hides other weights behind the same name is
// found out.

import { computeReference, type Endpoint, openEndpoint } from '@reembed/endpoint'
import { createLimiter } from '@reembed/limiter'
import type { Document, ModelReference } from '@reembed/protocol'
import {
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
import { embed } from '../src/embed.ts'

const NAME = 'test/model'
let server: ScriptedEndpoint
let endpoint: Endpoint

/** The server states its model without a revision, as most do. */
async function start(info: Record<string, unknown> = {}): Promise<ModelReference> {
  server.info = { ...INFO, served_model_name: NAME, ...info }
  server.model = String(info.served_model_name ?? NAME)
  endpoint = await openEndpoint(server.url)
  return measured()
}

/** Each request takes `ms` at the clock that decides whether the endpoint is slow. */
function measured(ms = 0): Promise<ModelReference> {
  let now = 0
  return computeReference(endpoint, { now: () => (now += ms) })
}

beforeEach(async () => {
  server = await startScriptedEndpoint()
})
afterEach(async () => {
  await endpoint[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

const documents = (count: number): Document[] =>
  Array.from({ length: count }, (_, i) => ({
    kind: 'document',
    id: `d${i}`,
    text: `document number ${i}`,
    position: { part: 0, offset: i },
  }))

async function rows(count: number, reference: ModelReference): Promise<Map<string, Float32Array>> {
  const found = new Map<string, Float32Array>()
  const { dimensions } = endpoint.info
  let ms = 0
  const clock = {
    now: () => ms,
    async sleep(wait: number) {
      ms += wait
    },
  }
  for await (const { documents: kept, vectors } of embed(documents(count), {
    endpoint,
    limiter: createLimiter({ max: 400 }),
    reference,
    clock,
  })) {
    expect(vectors).toHaveLength(kept.length * dimensions)
    for (const [row, { id }] of kept.entries()) {
      found.set(id, vectors.slice(row * dimensions, (row + 1) * dimensions))
    }
  }
  return found
}

/** The places of the canaries among the texts of a request. */
const canariesIn = (texts: readonly string[], reference: ModelReference): number[] =>
  texts.flatMap((text, place) => (reference.texts.includes(text) ? [place] : []))

/**
 * Answers as the same model after a fine-tune would: under the same name, with vectors that differ
 * by `shift`.
 */
const otherWeights =
  (shift: number, when: (call: number) => boolean): Script =>
  ({ route, texts, number }, response) => {
    if (!when(number)) return false
    const vectors = texts.map(text => {
      const vector = vectorOf(text)
      vector[0] = (vector[0] ?? 0) + shift
      const norm = Math.hypot(...vector)
      return vector.map(value => value / norm)
    })
    return sendJson(
      response,
      200,
      route === '/embed' ? vectors.map(vector => [...vector]) : openaiReply(vectors, server.model),
    )
  }

describe('a canary rides in every request', () => {
  test('and leaves vectors, order and count of the documents as they are', async () => {
    const reference = await start()
    server.script(() => false)
    const found = await rows(100, reference)
    expect(found.size).toBe(100)
    for (const { id, text } of documents(100)) expect(found.get(id)).toEqual(vectorOf(text))
    for (const { texts } of server.calls) {
      expect(texts.length).toBeLessThanOrEqual(32)
      expect(canariesIn(texts, reference)).toHaveLength(1)
    }
  })

  test('at any place, the first and the last included', async () => {
    const reference = await start()
    server.script(() => false)
    await rows(2_000, reference)
    const places = server.calls.flatMap(({ texts }) => canariesIn(texts, reference))
    expect(places.length).toBeGreaterThan(60)
    expect(new Set(places).size).toBeGreaterThan(15)
  })

  test('and a reply whose vectors are in another order is refused', async () => {
    const reference = await start()
    server.script(({ route, texts }, response) => {
      if (texts.length < 3) return false
      const vectors = texts.map(text => vectorOf(text)).reverse()
      return sendJson(
        response,
        200,
        route === '/embed' ? vectors.map(vector => [...vector]) : openaiReply(vectors, server.model),
      )
    })
    await expect(rows(300, reference)).rejects.toMatchObject({ code: 'MODEL_MISMATCH' })
  })

  test('and a reply of which all rows but the last are in another order is refused', async () => {
    const reference = await start()
    server.script(({ route, texts }, response) => {
      if (texts.length < 3) return false
      const sound = texts.map(text => vectorOf(text))
      const vectors = [...sound.slice(1, -1), ...sound.slice(0, 1), ...sound.slice(-1)]
      return sendJson(
        response,
        200,
        route === '/embed' ? vectors.map(vector => [...vector]) : openaiReply(vectors, server.model),
      )
    })
    await expect(rows(300, reference)).rejects.toMatchObject({ code: 'MODEL_MISMATCH' })
  })

  test('and a text without a vector is found by its own place, wherever the canary is', async () => {
    const reference = await start()
    const ill = 'document number 33'
    server.script(({ route, texts }, response) => {
      const vectors = texts.map(text => (text === ill ? vectorOf(text).fill(Number.NaN) : vectorOf(text)))
      return sendJson(
        response,
        200,
        route === '/embed'
          ? vectors.map(vector => [...vector].map(value => (Number.isNaN(value) ? null : value)))
          : openaiReply(vectors, server.model),
      )
    })
    const found = await rows(100, reference)
    expect(found.size).toBe(99)
    for (const { id, text } of documents(100)) {
      if (text !== ill) expect(found.get(id)).toEqual(vectorOf(text))
    }
  })

  test('where every other replica is a step ahead, no vector of it is used', async () => {
    const reference = await start()
    server.script(otherWeights(0.05, call => call % 2 === 0))
    const found = await rows(300, reference)
    for (const { id, text } of documents(300)) expect(found.get(id)).toEqual(vectorOf(text))
  })

  test('where all replicas changed, the job is requeued without counting an attempt', async () => {
    const reference = await start()
    server.script(otherWeights(0.05, () => true))
    await expect(rows(10, reference)).rejects.toMatchObject({
      code: 'MODEL_MISMATCH',
      retry: 'requeue',
      message: expect.stringMatching(/other weights than those of test\/model@unstated: cosine 0\.9/),
    })
    expect(server.calls).toHaveLength(13)
  })

  test('I6: also when the server comes back with room for fewer texts, and then for one', async () => {
    const takesAtMost =
      (most: number, other: Script = () => false): Script =>
      (call, response) =>
        call.texts.length > most
          ? sendJson(response, 413, {
              error: `batch size ${call.texts.length} > maximum allowed batch size ${most}`,
              error_type: 'Validation',
            })
          : other(call, response)
    const reference = await start()
    server.script(takesAtMost(2))
    const found = await rows(10, reference)
    for (const { id, text } of documents(10)) expect(found.get(id)).toEqual(vectorOf(text))
    // Told `2`, it must not send two documents without a canary.
    for (const most of [1, 2]) {
      server.script(
        takesAtMost(
          most,
          otherWeights(0.05, () => true),
        ),
      )
      for (const count of [1, 2]) {
        await expect(rows(count, reference)).rejects.toMatchObject({
          code: 'MODEL_MISMATCH',
          retry: 'requeue',
        })
      }
    }
  })

  test('not where the name in each reply states model and revision', async () => {
    const reference = await start({ served_model_name: 'test/model@r1' })
    server.script(() => false)
    await rows(10, reference)
    expect(server.calls.map(({ texts }) => texts.length)).toEqual([10])
  })

  test('by /embed as well, where each request must state truncate: its replies name no model', async () => {
    const reference = await start({ served_model_name: 'test/model@r1' })
    const restarted =
      (other: Script): Script =>
      (call, response) =>
        call.route === '/embed'
          ? other(call, response)
          : sendError(response, 413, 'Validation', '`inputs` must have less than 512 tokens. Given: 600')
    server.script(restarted(() => false))
    expect((await rows(40, reference)).size).toBe(40)
    expect(endpoint.route).toBe('/embed')
    const vouched = server.calls.filter(
      ({ route, texts }) => route === '/embed' && canariesIn(texts, reference).length > 0,
    )
    expect(
      new Set(vouched.flatMap(({ texts }) => texts).filter(text => !reference.texts.includes(text))),
    ).toEqual(new Set(documents(40).map(({ text }) => text)))
    server.script(restarted(otherWeights(0.05, () => true)))
    await expect(rows(10, reference)).rejects.toMatchObject({ code: 'MODEL_MISMATCH', retry: 'requeue' })
  })

  describe('also when a text that came back as NaN is tried by /embed at last', () => {
    /** Where the name vouches, no other request has a canary. */
    const named = (): Promise<ModelReference> => start({ served_model_name: 'test/model@r1' })
    const ill = 'document number 3'
    /** NaN for one text by /v1/embeddings; by /embed as `other` says. */
    const broken =
      (other: Script): Script =>
      (call, response) => {
        if (call.route === '/embed') return other(call, response)
        const vectors = call.texts.map(text =>
          text === ill ? vectorOf(text).fill(Number.NaN) : vectorOf(text),
        )
        return sendJson(response, 200, openaiReply(vectors))
      }

    test('its vector is taken from a reply whose canary is right', async () => {
      const reference = await named()
      server.script(broken(() => false))
      const found = await rows(10, reference)
      expect(found.size).toBe(10)
      const [last, ...others] = server.calls.map(({ route, texts }) => ({ route, texts })).reverse()
      expect(last?.route).toBe('/embed')
      expect(last?.texts).toContain(ill)
      expect(canariesIn(last?.texts ?? [], reference)).toHaveLength(1)
      expect(others.map(({ route, texts }) => [route, texts.length])).toEqual([
        ['/v1/embeddings', 1],
        ['/v1/embeddings', 10],
      ])
    })

    test('and refused from one whose canary is wrong', async () => {
      const reference = await named()
      server.script(broken(otherWeights(0.05, () => true)))
      await expect(rows(10, reference)).rejects.toMatchObject({
        code: 'MODEL_MISMATCH',
        message: expect.stringContaining('other weights than those of test/model@r1'),
      })
    })
  })

  test('not where the server takes one text at a time', async () => {
    const reference = await start({ max_client_batch_size: 1 })
    server.script(() => false)
    expect((await rows(3, reference)).size).toBe(3)
  })
})

describe('the noise of a server is measured before anything is planned', () => {
  test('a server without noise has radius 0, with a little the radius says how much', async () => {
    expect((await start()).radius).toBeLessThan(1e-7)
    server.script(otherWeights(0.003, call => call % 2 === 0))
    const { radius } = await measured()
    expect(radius).toBeGreaterThan(1e-7)
    expect(radius).toBeLessThan(1e-4)
  })

  test.each([0, 1_000])(
    'two models behind one address, whose requests take %i ms, are refused, naming the address',
    async ms => {
      await start()
      server.script(otherWeights(0.3, call => call % 2 === 0))
      await expect(measured(ms)).rejects.toMatchObject({
        code: 'MODEL_MISMATCH',
        message: expect.stringContaining(`the endpoint ${server.url} serves more than one model`),
      })
    },
  )
})
