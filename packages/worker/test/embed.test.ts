import { setImmediate as turn } from 'node:timers/promises'
import { type Endpoint, openEndpoint, truncateToBytes } from '@reembed/endpoint'
import { createLimiter, type Limiter } from '@reembed/limiter'
import type { Document, Reject, SourceRecord } from '@reembed/protocol'
import type { Clock } from '@reembed/shared'
import {
  type Call,
  DIMENSIONS,
  INFO,
  openaiReply,
  type Script,
  type ScriptedEndpoint,
  sendError,
  sendJson,
  startScriptedEndpoint,
  tokensOf,
  vectorOf,
} from '@reembed/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { prepare } from '../src/embed/prepare.ts'
import { type EmbeddedWindow, type EmbedOptions, embed } from '../src/embed.ts'

let server: ScriptedEndpoint
let endpoint: Endpoint
let limiter: Limiter
let clock: Clock & { readonly slept: number[] }

beforeEach(async () => {
  server = await startScriptedEndpoint()
  clock = fakeClock()
})
afterEach(async () => {
  await endpoint[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

/** Sleeping takes no time, but the clock moves on. */
function fakeClock(): typeof clock {
  let now = 0
  const slept: number[] = []
  return {
    slept,
    now: () => now,
    async sleep(ms, signal) {
      signal?.throwIfAborted()
      slept.push(ms)
      now += ms
    },
  }
}

async function start(script: Script = () => false, info: Record<string, unknown> = {}): Promise<void> {
  server.info = { ...INFO, ...info }
  endpoint = await openEndpoint(server.url)
  limiter = createLimiter({ max: 400 })
  server.script(script)
}

const documentOf = (text: string, i: number): Document => ({
  kind: 'document',
  id: `d${i}`,
  text,
  position: { part: 0, offset: i * 100, line: i + 1 },
})
const documents = (texts: readonly string[]): Document[] => texts.map(documentOf)
const numbered = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => `document ${i} ${'x'.repeat((i * 37) % 500)}`)

async function run(
  records: Iterable<SourceRecord> | AsyncIterable<SourceRecord>,
  options: Partial<EmbedOptions> = {},
): Promise<EmbeddedWindow[]> {
  const windows: EmbeddedWindow[] = []
  for await (const window of embed(records, { endpoint, limiter, clock, random: () => 0.5, ...options })) {
    windows.push(window)
  }
  return windows
}

/** Every document has the vector of its own text, in source order. */
function expectVectors(windows: readonly EmbeddedWindow[], texts: readonly string[]): void {
  const got = windows.flatMap(window => window.documents)
  expect(got.map(({ text }) => text)).toEqual(texts)
  for (const { documents: kept, vectors } of windows) {
    expect(vectors).toHaveLength(kept.length * DIMENSIONS)
    for (const [i, { text }] of kept.entries()) {
      expect(vectors.subarray(i * DIMENSIONS, (i + 1) * DIMENSIONS)).toEqual(vectorOf(text))
    }
  }
}

const rejectsOf = (windows: readonly EmbeddedWindow[]): Pick<Reject, 'id' | 'reason' | 'message'>[] =>
  windows.flatMap(({ rejects }) =>
    rejects.map(({ id, reason, message }) => ({ id: id ?? '', reason, message })),
  )

/** Refuses each request that holds a text for which `isBad`. */
const refuses =
  (isBad: (text: string) => boolean, status: number, type: string, message: string): Script =>
  ({ texts }, response) =>
    texts.some(isBad) && sendError(response, status, type, message)
const hasPoison = (text: string): boolean => text.includes('poison')

describe('documents in, vectors out', () => {
  test('a released window gives its memory to the next one, and a window that is kept is left alone', async () => {
    await start()
    const texts = numbered(600)
    const kept: EmbeddedWindow[] = []
    const seen = new Set<ArrayBufferLike>()
    let windows = 0
    for await (const window of embed(documents(texts), { endpoint, limiter, clock, windowDocuments: 50 })) {
      expectVectors([window], texts.slice(windows * 50, (windows + 1) * 50))
      seen.add(window.vectors.buffer)
      windows += 1
      if (windows % 6 === 0) kept.push(window)
      else window.release()
    }
    expect(windows).toBe(12)
    expect(seen.size).toBeLessThanOrEqual(6)
    expectVectors(kept, [...texts.slice(250, 300), ...texts.slice(550)])
  })

  test('3,000 documents of mixed length come out once, in order, each with its own vector', async () => {
    await start()
    const texts = numbered(3_000)
    const windows = await run(documents(texts))
    expectVectors(windows, texts)
    expect(windows).toHaveLength(3)
    expect(windows.reduce((sum, { tokens }) => sum + (tokens ?? 0), 0)).toBe(
      texts.reduce((sum, text) => sum + tokensOf(text), 0),
    )
    expect(limiter.inFlight).toBe(0)
  })

  test('no documents, no windows, no requests', async () => {
    await start()
    expect(await run([])).toEqual([])
    expect(server.calls).toEqual([])
  })

  test('a request holds texts of like length', async () => {
    await start()
    await run(documents(numbered(1_024)))
    const spreads = server.calls.map(({ texts }) => {
      const lengths = texts.map(({ length }) => length)
      return Math.max(...lengths) - Math.min(...lengths)
    })
    expect(Math.max(...spreads)).toBeLessThan(40)
  })

  test('no request is over the server’s limits of inputs and tokens', async () => {
    await start(undefined, { max_client_batch_size: 8, max_batch_tokens: 1_000 })
    await run(documents(numbered(300)))
    for (const { texts } of server.calls) {
      expect(texts.length).toBeLessThanOrEqual(8)
      expect(texts.length === 1 || texts.reduce((sum, text) => sum + tokensOf(text), 0) <= 1_000).toBe(true)
    }
  })

  test('an endpoint that stalls stops the reading of the source within one window', async () => {
    const stalled = Promise.withResolvers<void>()
    const open = Promise.withResolvers<void>()
    let seen = 0
    await start(async ({ texts }) => {
      seen += texts.length
      if (seen <= 400) return false
      stalled.resolve()
      await open.promise
      return false
    })
    let read = 0
    let readWhenStalled = 0
    stalled.promise.then(() => {
      readWhenStalled = read
    })
    async function* source(): AsyncGenerator<Document> {
      for (const document of documents(numbered(2_000))) {
        read++
        yield document
      }
    }
    const embedded = run(source(), { windowDocuments: 100 })
    await stalled.promise
    // Everything that can still move has moved: what is under way stands at the server, and nothing
    // is asked for.
    for (let calls = -1; calls !== server.calls.length; await turn()) {
      calls = server.calls.length
      for (let i = 0; i < 50; i++) await turn()
    }
    expect(read).toBeLessThan(2_000)
    expect(read - readWhenStalled).toBeLessThanOrEqual(100)
    open.resolve()
    expectVectors(await embedded, numbered(2_000))
  })

  test('the next window is under way before the last request of this one has ended', async () => {
    const held: (() => void)[] = []
    const overlapped = Promise.withResolvers<void>()
    await start(async ({ texts }) => {
      if (texts.includes('slow 0')) await new Promise<void>(resolve => held.push(resolve))
      if (texts.some(text => text.startsWith('next'))) overlapped.resolve()
      return false
    })
    const texts = [
      ...Array.from({ length: 8 }, (_, i) => `slow ${i}`),
      ...Array.from({ length: 8 }, (_, i) => `next ${i}`),
    ]
    const result = run(documents(texts), { windowDocuments: 8 })
    await overlapped.promise
    for (const release of held) release()
    expectVectors(await result, texts)
  })

  test('an endpoint that never answers is given two windows of the source, and no more is read', async () => {
    await start(() => new Promise(() => {}))
    let read = 0
    function* source(): Generator<Document> {
      for (;;) yield documentOf('x', read++)
    }
    const stop = new AbortController()
    const result = run(source(), { windowDocuments: 50, signal: stop.signal })
    while (server.calls.length < 2) await turn()
    for (let i = 0; i < 20; i++) await turn()
    expect(read).toBeLessThanOrEqual(100)
    stop.abort(new Error('enough'))
    await expect(result).rejects.toThrow('enough')
    expect(limiter.inFlight).toBe(0)
  })
})

describe('what a text must be', () => {
  test('empty and blank texts become rejects and are never sent', async () => {
    await start()
    const windows = await run(documents(['a', '', ' \n\t ', 'b', '\u3000']))
    expectVectors(windows, ['a', 'b'])
    expect(rejectsOf(windows).map(({ id, reason }) => [id, reason])).toEqual([
      ['d1', 'empty_text'],
      ['d2', 'empty_text'],
      ['d4', 'empty_text'],
    ])
    expect(server.calls.flatMap(({ texts }) => texts).sort()).toEqual(['a', 'b'])
  })

  test('the source’s own rejects come out among ours, in source order', async () => {
    await start(refuses(hasPoison, 422, 'Tokenizer', 'no'))
    const broken: Reject = {
      kind: 'reject',
      reason: 'invalid_json',
      message: 'm',
      position: { part: 0, offset: 50 },
    }
    const [first, second, third] = documents(['poison', '', 'b'])
    const records = [first, broken, second, third].filter(record => record !== undefined)
    const [window] = await run(records)
    expect(window?.rejects.map(({ reason }) => reason)).toEqual([
      'refused_by_model',
      'invalid_json',
      'empty_text',
    ])
  })

  test('lone surrogates are replaced and counted; whole ones are left', async () => {
    await start()
    const [window] = await run(documents(['bad \ud800 text', 'good 😀']))
    expect(window?.repaired).toBe(1)
    expect(server.calls.flatMap(({ texts }) => texts)).toContain('bad \ufffd text')
    expect(server.calls.flatMap(({ texts }) => texts)).toContain('good 😀')
  })

  test('the prompt stands in front of every text', async () => {
    await start()
    await run(documents(['a']), { prompt: 'passage: ' })
    expect(server.calls.flatMap(({ texts }) => texts)).toEqual(['passage: a'])
  })

  test('text that the server ignores is truncated between two characters and counted', async () => {
    await start(undefined, { max_input_length: 4 })
    const [window] = await run(documents(['ä😀'.repeat(1_000), 'short']))
    expect(window).toMatchObject({ truncation: { truncated: 1 } })
    const sent = server.calls.flatMap(({ texts }) => texts).find(({ length }) => length > 100) ?? ''
    expect(Buffer.byteLength(sent)).toBeLessThanOrEqual(1_000)
    expect(Buffer.byteLength(sent)).toBeGreaterThan(995)
    expect(sent.isWellFormed()).toBe(true)
  })

  test.each([0, 1, 2, 3, 4, 5, 6, 7, 100])('a cut at %i bytes never makes half a character', bytes => {
    const cut = truncateToBytes('aä€😀', bytes)
    expect('aä€😀'.startsWith(cut) && cut.isWellFormed() && Buffer.byteLength(cut) <= bytes).toBe(true)
  })

  test('a text of exactly the limit is not cut', () => {
    const ready = prepare(documentOf('ä'.repeat(500), 0), { prompt: '', maxTextBytes: 1_000 })
    expect(ready).toMatchObject({ characters: 500, bytes: 1_000 })
  })
})

describe('faults', () => {
  test('overload is waited out with growing, jittered delays, and nothing is lost', async () => {
    await start(
      ({ number }, response) => number <= 3 && sendError(response, 429, 'Overloaded', 'Model is overloaded'),
    )
    const windows = await run(documents(['a', 'b']))
    expectVectors(windows, ['a', 'b'])
    expect(clock.slept).toEqual([50, 100, 200])
  })

  test('a server that keeps refusing gets smaller requests', async () => {
    await start(
      ({ texts }, response) =>
        texts.length > 4 && sendError(response, 429, 'Overloaded', 'Model is overloaded'),
    )
    const texts = numbered(32)
    expectVectors(await run(documents(texts)), texts)
  })

  test('Retry-After is obeyed', async () => {
    await start(({ number }, response) => {
      if (number === 1) response.writeHead(429, { 'retry-after': '7' }).end()
      return number === 1
    })
    await run(documents(['a']))
    expect(clock.slept).toEqual([7_050])
  })

  test.each<[string, string, Script]>([
    ['overloaded', 'ENDPOINT_OVERLOADED', (_call, response) => sendError(response, 429, 'Overloaded', 'x')],
    ['starting', 'ENDPOINT_UNREACHABLE', (_call, response) => sendError(response, 503, 'x', 'x')],
    [
      'crashed',
      'ENDPOINT_UNREACHABLE',
      (_call, response) => response.socket?.resetAndDestroy() !== undefined,
    ],
  ])(
    'an endpoint that stays %s beyond patience gives the job back, to be tried later',
    async (_name, code, script) => {
      await start(script)
      await expect(run(documents(['a']))).rejects.toMatchObject({ code, retry: 'requeue' })
      expect(clock.now()).toBeLessThanOrEqual(60_000)
      expect(limiter.inFlight).toBe(0)
    },
  )

  test('maxUnavailableMs counts from the last answer to any request, not from the first refusal', async () => {
    const seen = new Set<string>()
    await start(({ texts }, response) => {
      const isNew = !seen.has(texts.join())
      seen.add(texts.join())
      if (isNew) response.writeHead(429, { 'retry-after': '5' }).end()
      return isNew
    })
    const texts = numbered(20)
    expectVectors(await run(documents(texts), { windowDocuments: 1, maxUnavailableMs: 30_000 }), texts)
    expect(clock.now()).toBeGreaterThan(100_000)
  })

  test('a batch limit that shrank is taken from the refusal, at once and for all', async () => {
    await start(({ texts }, response) =>
      texts.length > 5
        ? sendError(response, 413, 'Validation', `batch size ${texts.length} > maximum allowed batch size 5`)
        : false,
    )
    limiter = createLimiter({ max: 32 })
    const texts = numbered(320)
    expectVectors(await run(documents(texts)), texts)
    expect(clock.slept).toEqual([])
    expect(server.calls.filter(({ texts: sent }) => sent.length > 5)).toHaveLength(1)
  })

  test('a body over the server’s limit is split, and a text that alone is over it becomes a reject', async () => {
    await start(({ texts }, response) => {
      const tooLarge = texts.reduce((sum, text) => sum + text.length, 0) > 900
      if (tooLarge) response.writeHead(413, { 'content-type': 'text/plain' }).end('length limit exceeded')
      return tooLarge
    })
    const texts = ['x'.repeat(901), ...Array.from({ length: 9 }, (_, i) => `${i}`.repeat(300))]
    const windows = await run(documents(texts))
    expectVectors(windows, texts.slice(1))
    expect(rejectsOf(windows)).toMatchObject([{ id: 'd0', reason: 'too_large' }])
  })

  test('the one text that the model refuses is found among 32, with the server’s words', async () => {
    await start(refuses(hasPoison, 422, 'Tokenizer', 'tokenizer cannot digest this'))
    const texts = numbered(32)
    texts[17] = 'poison'
    const windows = await run(documents(texts))
    expectVectors(
      windows,
      texts.filter(text => text !== 'poison'),
    )
    expect(rejectsOf(windows)).toEqual([
      { id: 'd17', reason: 'refused_by_model', message: 'HTTP 422: tokenizer cannot digest this' },
    ])
    expect(server.calls.length).toBeLessThan(15)
  })

  test('when a text known to be good is refused too, it is the endpoint: no document is rejected', async () => {
    await start(refuses(() => true, 422, 'Validation', 'no'))
    await expect(run(documents(['a', 'b']))).rejects.toMatchObject({
      code: 'ENDPOINT_UNSUPPORTED',
      retry: 'never',
    })
  })

  test('a model failure caused by another client’s text passes with a second try', async () => {
    await start(({ number }, response) => number === 1 && sendError(response, 424, 'Backend', 'CUDA error'))
    expectVectors(await run(documents(['a', 'b'])), ['a', 'b'])
    expect(server.calls).toHaveLength(2)
  })

  test('a text that kills the model three times alone is a reject; its neighbours are embedded', async () => {
    await start(refuses(hasPoison, 424, 'Backend', 'CUDA error'))
    const texts = numbered(16)
    texts[3] = 'poison'
    const windows = await run(documents(texts))
    expectVectors(
      windows,
      texts.filter(text => text !== 'poison'),
    )
    expect(rejectsOf(windows)).toMatchObject([{ id: 'd3', reason: 'refused_by_model' }])
    expect(server.calls.filter(({ texts: sent }) => sent.length === 1 && sent[0] === 'poison')).toHaveLength(
      3,
    )
  })

  test('a dead GPU rejects nothing: the job is to be tried later', async () => {
    await start(refuses(() => true, 424, 'Backend', 'CUDA error'))
    await expect(run(documents(numbered(4)))).rejects.toMatchObject({
      code: 'ENDPOINT_UNREACHABLE',
      retry: 'requeue',
    })
  })

  const spoiled =
    (isBad: (text: string, call: Call) => boolean): Script =>
    (call, response) => {
      const vectors = call.texts.map(text =>
        isBad(text, call) ? new Float32Array(DIMENSIONS).fill(Number.NaN) : vectorOf(text),
      )
      if (call.route === '/embed')
        return sendJson(
          response,
          200,
          vectors.map(vector => [...vector]),
        )
      return sendJson(response, 200, openaiReply(vectors, server.model))
    }

  test('a vector of NaN is tried alone, and counts when it comes out well', async () => {
    await start(spoiled((text, { texts }) => text === 'b' && texts.length > 1))
    const windows = await run(documents(['a', 'b', 'c']))
    expectVectors(windows, ['a', 'b', 'c'])
    expect(server.calls.map(({ texts }) => texts)).toEqual([['a', 'b', 'c'], ['b']])
    expect(windows[0]?.tokens).toBe(2)
  })

  test('a text whose vector is NaN three times becomes a reject', async () => {
    await start(spoiled(hasPoison))
    const windows = await run(documents(['a', 'poison', 'c']))
    expectVectors(windows, ['a', 'c'])
    expect(rejectsOf(windows)).toMatchObject([{ id: 'd1', reason: 'invalid_vector' }])
    expect(server.calls).toHaveLength(3)
  })

  test('a corrupt reply is discarded and asked again; a server that only sends such stops the job', async () => {
    await start(({ number }, response) => number === 1 && sendJson(response, 200, { data: [] }))
    expectVectors(await run(documents(['a'])), ['a'])
    server.script((_call, response) => sendJson(response, 200, { data: [] }))
    await expect(run(documents(['a']))).rejects.toMatchObject({ code: 'REPLY_INVALID', retry: 'retry' })
    expect(server.calls).toHaveLength(4)
  })

  test('replies of another model are asked for again, then hand the job back; none of their vectors is used', async () => {
    await start()
    server.model = 'test/model@r2'
    await expect(run(documents(['a']))).rejects.toMatchObject({
      code: 'MODEL_MISMATCH',
      retry: 'requeue',
      message: expect.stringMatching(/test\/model@r2.*test\/model@r1/),
    })
  })

  test('a revoked token stops at once, and the job waits for a person without spending an attempt', async () => {
    await start((_call, response) => sendError(response, 401, 'x', ''))
    await expect(run(documents(['a']))).rejects.toMatchObject({
      code: 'ENDPOINT_ACCESS_DENIED',
      retry: 'requeue',
    })
    expect(server.calls).toHaveLength(1)
  })

  test('after a failure nothing runs on, and the source is closed', async () => {
    await start(({ texts }, response) =>
      texts.some(hasPoison) ? sendError(response, 403, 'x', 'no') : new Promise<boolean>(() => {}),
    )
    let closed = false
    function* source(): Generator<Document> {
      try {
        yield* documents([...numbered(50), 'poison', ...numbered(1_000)])
      } finally {
        closed = true
      }
    }
    await expect(run(source(), { windowDocuments: 60 })).rejects.toMatchObject({
      code: 'ENDPOINT_ACCESS_DENIED',
    })
    expect(limiter.inFlight).toBe(0)
    expect(closed).toBe(true)
  })

  test('a consumer that stops early ends the requests under way', async () => {
    await start()
    for await (const window of embed(documents(numbered(500)), {
      endpoint,
      limiter,
      windowDocuments: 50,
      clock,
    })) {
      expect(window.documents).toHaveLength(50)
      break
    }
    expect(limiter.inFlight).toBe(0)
  })
})
