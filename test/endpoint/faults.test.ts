// Each failure of TEI and of the proxies in front of it, over HTTP, against the fake in both
// versions of TEI. 1.8.3 does not truncate by default, so it is tested by two routes: /embed with
// JSON, and base64 where its operator set --auto-truncate.

import { type Endpoint, type EndpointOptions, openEndpoint } from '@reembed/endpoint'
import { createLimiter } from '@reembed/limiter'
import { hashVector } from '@reembed/local'
import type { Document, Reject } from '@reembed/protocol'
import {
  createManualClock,
  type FakeTei,
  type FakeTeiOptions,
  type Fault,
  htmlPage,
  type ManualClock,
  startFakeTei,
  startLoadBalancer,
} from '@reembed/testing'
import { type EmbeddedWindow, type EmbedOptions, embed } from '@reembed/worker'
import { afterEach, describe, expect, test } from 'vitest'

const DIMENSIONS = 16
const MODEL = { model: 'fake/model', dimensions: DIMENSIONS, maxInputLength: 64 }

interface Rig {
  readonly tei: FakeTei
  readonly clock: ManualClock
  readonly endpoint: Endpoint
  /** Sets the script of each further request to an embedding route, counted from 1. */
  meet(fault: (number: number, inputs: readonly string[], path: string) => Fault | undefined): void
  /** Requests since `meet`. */
  readonly arrived: number
  /** Texts of those requests. */
  readonly sent: readonly (readonly string[])[]
  run(texts: readonly string[], options?: Partial<EmbedOptions>): Promise<EmbeddedWindow[]>
}

const opened: AsyncDisposable[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each[Symbol.asyncDispose]()
})

async function rig(
  flags: FakeTeiOptions,
  endpointOptions: EndpointOptions = {},
  front?: (tei: FakeTei, clock: ManualClock) => Promise<{ url: string } & AsyncDisposable>,
): Promise<Rig> {
  const clock = createManualClock()
  const tei = await startFakeTei({ ...MODEL, servedModelName: 'fake/model@r1', clock, ...flags })
  opened.push(tei)
  const door = front && (await front(tei, clock))
  if (door) opened.push(door)
  const endpoint = await clock.advanceUntilSettled(openEndpoint((door ?? tei).url, endpointOptions))
  opened.push(endpoint)
  const limiter = createLimiter({ max: 128 })
  let sent: string[][] = []
  const meet: Rig['meet'] = fault => {
    sent = []
    tei.faults.request = ({ inputs, path }) => {
      const texts = inputs.map(String)
      sent.push(texts)
      return fault(sent.length, texts, path)
    }
  }
  meet(() => undefined)
  return {
    tei,
    clock,
    endpoint,
    meet,
    get arrived() {
      return sent.length
    },
    get sent() {
      return sent
    },
    run: (texts, options) =>
      clock.advanceUntilSettled(
        collect(embed(documents(texts), { endpoint, limiter, clock, random: () => 0.5, ...options })),
      ),
  }
}

const documents = (texts: readonly string[]): Document[] =>
  texts.map((text, i) => ({ kind: 'document', id: `d${i}`, text, position: { part: 0, offset: i } }))
const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `number ${i}`)

async function collect(windows: AsyncIterable<EmbeddedWindow>): Promise<EmbeddedWindow[]> {
  const all: EmbeddedWindow[] = []
  for await (const window of windows) all.push(window)
  return all
}

/** Each of `texts`, in order, with its own vector, bit for bit. */
function expectVectors(windows: readonly EmbeddedWindow[], texts: readonly string[]): void {
  expect(windows.flatMap(window => window.documents.map(({ text }) => text))).toEqual(texts)
  for (const { documents: kept, vectors } of windows) {
    for (const [row, { text }] of kept.entries()) {
      expect(vectors.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS)).toEqual(hashVector(text, MODEL))
    }
  }
}

const rejectsOf = (windows: readonly EmbeddedWindow[]): Pick<Reject, 'id' | 'reason'>[] =>
  windows.flatMap(({ rejects }) => rejects.map(({ id, reason }) => ({ id: id ?? '', reason })))

const reply = (status: number, json: object, headers = {}): Fault => ({
  kind: 'reply',
  reply: { status, json: JSON.stringify(json), headers },
})
const text = (status: number, said: string): Fault => ({ kind: 'reply', reply: { status, text: said } })
/** An edit of the JSON of either route, given its rows. */
const rows = (edit: (rows: unknown[]) => unknown[]): Fault => ({
  kind: 'edit',
  edit(body) {
    const json = JSON.parse(body)
    return JSON.stringify(Array.isArray(json) ? edit(json) : { ...json, data: edit(json.data) })
  },
})
/** The same for the vector within a row. */
const vectorIn = (row: unknown, edit: (vector: unknown) => unknown): unknown =>
  Array.isArray(row) ? edit(row) : { ...Object(row), embedding: edit(Object(row).embedding) }

describe.each<[string, FakeTeiOptions]>([
  ['1.9.3', { version: '1.9.3' }],
  ['1.8.3 by /embed', { version: '1.8.3' }],
  ['1.8.3 in base64', { version: '1.8.3', autoTruncate: true }],
])('TEI %s', (_name, flags) => {
  const isBase64 = flags.autoTruncate ?? flags.version === '1.9.3'
  const invalid = flags.version === '1.8.3' ? 413 : 422

  test('is spoken to by the right route', async () => {
    const { endpoint, run } = await rig(flags)
    expect(endpoint.route).toBe(isBase64 ? '/v1/embeddings' : '/embed')
    expect(endpoint.info.version).toBe(flags.version)
    expectVectors(await run(numbered(100)), numbered(100))
  })

  describe('a 200 that is not what was asked for is discarded and asked for again', () => {
    test.each<[string, Fault]>([
      ['too few rows', rows(all => all.slice(1))],
      ['too many rows', rows(all => [...all, all[0]])],
      [
        'other dimensions',
        rows(all =>
          all.map(row =>
            vectorIn(row, vector =>
              Array.isArray(vector) ? vector.slice(1) : String(vector).slice(0, -4 * 4),
            ),
          ),
        ),
      ],
      ['a vector that is none', rows(all => [vectorIn(all[0], () => '!!!!'), ...all.slice(1)])],
      ['JSON that ends early', { kind: 'cut', afterBytes: 50 }],
    ])('%s', async (_what, fault) => {
      const it = await rig(flags)
      it.meet(number => (number === 1 ? fault : undefined))
      expectVectors(await it.run(['a', 'b', 'c']), ['a', 'b', 'c'])
      expect(it.arrived).toBe(2)
      it.meet(() => fault)
      await expect(it.run(['a'])).rejects.toMatchObject({ code: 'REPLY_INVALID', retry: 'retry' })
    })

    test.runIf(isBase64)('the vectors of another model are never used', async () => {
      const it = await rig(flags)
      await it.tei.stop()
      await it.tei.start({ model: 'fake/other', servedModelName: 'fake/model@r2' })
      await expect(it.run(['a'])).rejects.toMatchObject({ code: 'MODEL_MISMATCH' })
    })
  })

  describe('a vector of NaN', () => {
    test('that its neighbours cause is repaired by sending its text alone', async () => {
      const it = await rig(flags)
      it.tei.faults.nan = (one, batch) => one === 'b' && batch.length > 1
      expectVectors(await it.run(['a', 'b', 'c']), ['a', 'b', 'c'])
      expect(it.sent.map(one => one.length)).toEqual([3, 1])
    })

    test('that stays makes its text a reject, and its neighbours are kept', async () => {
      const it = await rig(flags)
      it.tei.faults.nan = one => one === 'b'
      const windows = await it.run(['a', 'b', 'c'])
      expectVectors(windows, ['a', 'c'])
      expect(rejectsOf(windows)).toEqual([{ id: 'd1', reason: 'invalid_vector' }])
      expect(it.sent.map(one => one.length)).toEqual([3, 1, 1])
    })

    test.runIf(isBase64)('of one route alone is repaired by the other', async () => {
      const it = await rig(flags)
      const nan = Buffer.from(new Float32Array(DIMENSIONS).fill(Number.NaN).buffer).toString('base64')
      it.meet((_number, _inputs, path) =>
        path === '/v1/embeddings' ? rows(all => all.map(row => vectorIn(row, () => nan))) : undefined,
      )
      expectVectors(await it.run(['a']), ['a'])
      expect(it.arrived).toBe(3)
    })
  })

  describe('overload', () => {
    test('while others hold the permits, ours wait, by a 429 or in the server', async () => {
      const it = await rig({ ...flags, maxConcurrentRequests: 8, baseMs: 1_000 })
      const other = fetch(`${it.tei.url}/embed`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ inputs: numbered(8) }),
      })
      while (it.arrived === 0) await new Promise(setImmediate)
      expectVectors(await it.run(['a', 'b']), ['a', 'b'])
      expect((await it.clock.advanceUntilSettled(other)).status).toBe(200)
      if (flags.version === '1.8.3') expect(it.arrived).toBe(2)
      else expect(it.arrived).toBeGreaterThan(2)
    })

    test('a server that came back with fewer permits than a request has inputs gets smaller requests', async () => {
      const it = await rig(flags)
      await it.tei.stop()
      await it.tei.start({ maxConcurrentRequests: 8 })
      expectVectors(await it.run(numbered(32)), numbered(32))
    })

    test('Retry-After of a proxy is obeyed', async () => {
      const it = await rig(flags)
      it.meet(number => (number === 1 ? reply(429, {}, { 'retry-after': '7' }) : undefined))
      const before = it.clock.now()
      expectVectors(await it.run(['a']), ['a'])
      expect(it.clock.now() - before).toBeGreaterThanOrEqual(7_000)
    })
  })

  describe('limits', () => {
    test('a batch limit that shrank is read from the refusal, and kept', async () => {
      const it = await rig(flags)
      await it.tei.stop()
      await it.tei.start({ maxClientBatchSize: 5 })
      const before = it.clock.now()
      expectVectors(await it.run(numbered(32)), numbered(32))
      expect(it.sent.filter(({ length }) => length > 5)).toHaveLength(1)
      expect(it.clock.now()).toBe(before)
    })

    test('a body over the payload limit is split; a text that alone is over it becomes a reject', async () => {
      const it = await rig({ ...flags, payloadLimit: 3_000 })
      const texts = ['x'.repeat(4_000), ...Array.from({ length: 9 }, (_, i) => `${i}`.repeat(900))]
      const windows = await it.run(texts)
      expectVectors(windows, texts.slice(1))
      expect(rejectsOf(windows)).toEqual([{ id: 'd0', reason: 'too_large' }])
    })

    test('a connection that ends under a body of more than 1 MB counts as that limit', async () => {
      const it = await rig({ ...flags, maxInputLength: 1_000 })
      it.meet((_number, inputs) => (inputs.join('').length > 600_000 ? { kind: 'reset' } : undefined))
      const texts = Array.from({ length: 8 }, (_, i) => `${i}`.repeat(150_000))
      expectVectors(await it.run(texts), texts)
      // 8 texts are 1.2 MB; the halves pass.
      expect(it.sent.map(({ length }) => length)).toEqual([8, 4, 4])
    })

    test('over-long texts are cut by the server, also when it stopped to do so by itself', async () => {
      const it = await rig(flags)
      const long = Array.from({ length: 100 }, (_, i) => `w${i}`).join(' ')
      const cut = long.split(' ').slice(0, MODEL.maxInputLength).join(' ')
      await it.tei.stop()
      await it.tei.start({ autoTruncate: false })
      const [window] = await it.run(['short', long])
      expect(window?.documents).toHaveLength(2)
      expect(window?.vectors.subarray(DIMENSIONS)).toEqual(hashVector(cut, MODEL))
      expect(it.endpoint.route).toBe('/embed')
    })

    test('where long texts must not be truncated, only the one that is too long is rejected', async () => {
      const it = await rig(flags, { truncate: false })
      const texts = numbered(32)
      texts[11] = 'word '.repeat(100)
      const windows = await it.run(texts)
      expectVectors(
        windows,
        texts.filter((_text, i) => i !== 11),
      )
      expect(rejectsOf(windows)).toEqual([{ id: 'd11', reason: 'too_large' }])
      // Halved each time around the culprit, and no neighbour is paid for twice. Into how many
      // requests the limiter divides the good halves depends on how quick the replies were.
      const [culprit = ''] = texts.splice(11, 1)
      const without = it.sent.filter(sent => !sent.includes(culprit))
      expect(it.sent.slice(0, -without.length).map(({ length }) => length)).toEqual([32, 16, 8, 4, 2, 1])
      expect(without.flat().sort()).toEqual(texts.sort())
    })
  })

  describe('texts that the server refuses', () => {
    test.each<[string, (it: Rig) => void]>([
      [
        'by its tokeniser',
        ({ tei }) => {
          tei.faults.tokenizer = one => one === 'poison'
        },
      ],
      [
        'as JSON it cannot parse',
        ({ meet }) =>
          meet((_number, inputs) =>
            inputs.includes('poison')
              ? text(400, 'Failed to parse the request body as JSON: lone leading surrogate in hex escape')
              : undefined,
          ),
      ],
      [
        'as JSON of another shape',
        ({ meet }) =>
          meet((_number, inputs) =>
            inputs.includes('poison')
              ? text(422, 'Failed to deserialize the JSON body into the target type')
              : undefined,
          ),
      ],
    ])('%s are found one by one, and nothing else is rejected', async (_how, poisoned) => {
      const it = await rig(flags)
      poisoned(it)
      const texts = numbered(32)
      texts[17] = 'poison'
      const windows = await it.run(texts)
      expectVectors(
        windows,
        texts.filter(one => one !== 'poison'),
      )
      expect(rejectsOf(windows)).toEqual([{ id: 'd17', reason: 'refused_by_model' }])
      expect(it.arrived).toBeLessThan(15)
    })

    test.each([
      ['tokeniser', reply(422, { error: 'tokenizer error', error_type: 'Tokenizer' })],
      ['content type', text(415, 'Expected request with `Content-Type: application/json`')],
      ['validation', reply(invalid, { error: 'Input validation error: x', error_type: 'Validation' })],
    ])('a %s that refuses a good text too is the endpoint’s fault: no reject', async (_what, fault) => {
      const it = await rig(flags)
      it.meet(() => fault)
      await expect(it.run(['a', 'b'])).rejects.toMatchObject({ code: 'ENDPOINT_UNSUPPORTED', retry: 'never' })
    })

    test('empty texts are not sent, lone surrogates are replaced', async () => {
      const it = await rig(flags)
      const windows = await it.run(['a', '', ' \n', 'b\ud800'])
      expect(rejectsOf(windows)).toEqual([
        { id: 'd1', reason: 'empty_text' },
        { id: 'd2', reason: 'empty_text' },
      ])
      expect(it.sent.flat().sort()).toEqual(['a', 'b\ufffd'])
    })
  })

  describe('the model fails', () => {
    test('a poison text among 16 is found, and the others are embedded', async () => {
      const it = await rig(flags)
      it.tei.faults.failsBatch = one => one === 'poison'
      const texts = numbered(16)
      texts[3] = 'poison'
      const windows = await it.run(texts)
      expectVectors(
        windows,
        texts.filter(one => one !== 'poison'),
      )
      expect(rejectsOf(windows)).toEqual([{ id: 'd3', reason: 'refused_by_model' }])
    })

    test('another client’s poison on our GPU batch costs us one more request and nothing else', async () => {
      const it = await rig({ ...flags, baseMs: 100 })
      it.tei.faults.failsBatch = one => one === 'poison'
      const post = (inputs: string[]): Promise<Response> =>
        fetch(`${it.tei.url}/embed`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ inputs }),
        })
      // One batch runs and one is made up ahead, so the third shares its batch with ours.
      const others: Promise<Response>[] = []
      for (const inputs of [['x'], ['y'], ['poison']]) {
        const before = it.arrived
        others.push(post(inputs))
        while (it.arrived === before) await new Promise(setImmediate)
      }
      const windows = await it.run(['a', 'b'])
      expectVectors(windows, ['a', 'b'])
      expect(rejectsOf(windows)).toEqual([])
      const [, , theirs] = await it.clock.advanceUntilSettled(Promise.all(others))
      expect(theirs?.status).toBe(424)
      expect(it.arrived).toBe(5)
    })

    test('a dead GPU rejects nothing: the job is to be tried later', async () => {
      const it = await rig(flags)
      it.tei.faults.allBatchesFail = true
      await expect(it.run(numbered(4))).rejects.toMatchObject({
        code: 'ENDPOINT_UNREACHABLE',
        retry: 'requeue',
      })
    })
  })

  test('a key that the endpoint newly requires stops at once', async () => {
    const it = await rig(flags)
    await it.tei.stop()
    await it.tei.start({ apiKey: 'secret' })
    await expect(it.run(['a'])).rejects.toMatchObject({ code: 'ENDPOINT_ACCESS_DENIED', retry: 'requeue' })
  })

  test('a paused endpoint is named as such, and no document is rejected for it', async () => {
    const it = await rig(flags)
    const error = 'Bad Request: The endpoint is paused, ask a maintainer to restart it'
    it.meet(() => reply(400, { error, code: 'BAD_REQUEST' }))
    await expect(it.run(['a'])).rejects.toThrow(/is paused, ask a maintainer/)
  })

  test('without the OpenAI route it is spoken to by /embed', async () => {
    const it = await rig({
      ...flags,
      faults: {
        request: ({ path }) =>
          path === '/v1/embeddings' ? { kind: 'reply', reply: { status: 404 } } : undefined,
      },
    })
    expect(it.endpoint.route).toBe('/embed')
    expectVectors(await it.run(['a']), ['a'])
  })

  describe('between us and it', () => {
    test.each<[string, Fault, number]>([
      ['503 in JSON', reply(503, { error: '503 Service Unavailable', code: 'SERVICE_UNAVAILABLE' }), 2],
      ['503 in HTML', { kind: 'reply', reply: htmlPage(503, 'Service Temporarily Unavailable') }, 2],
      ['502 in HTML', { kind: 'reply', reply: htmlPage(502, 'Bad Gateway') }, 4],
      ['520 in HTML', { kind: 'reply', reply: htmlPage(520, 'Unknown Error') }, 4],
      ['200 in HTML', { kind: 'reply', reply: htmlPage(200, 'Welcome') }, 1],
      ['a reset before the reply', { kind: 'reset' }, 3],
      ['a reset within the reply', { kind: 'reset', afterBytes: 40 }, 3],
    ])('%s is waited out and asked again, and nothing is lost', async (_what, fault, times) => {
      const it = await rig(flags)
      it.meet(number => (number <= times ? fault : undefined))
      expectVectors(await it.run(['a', 'b']), ['a', 'b'])
      // After three failures the known good text is sent, and the request is halved if it succeeds.
      expect(it.arrived).toBeGreaterThan(times)
      expect(it.arrived).toBeLessThanOrEqual(times + 3)
    })

    test('504 also halves the request', async () => {
      const it = await rig(flags)
      it.meet(number =>
        number === 1 ? { kind: 'reply', reply: htmlPage(504, 'Gateway Time-out') } : undefined,
      )
      expectVectors(await it.run(numbered(8)), numbered(8))
      expect(it.sent.map(({ length }) => length)).toEqual([8, 4, 4])
    })

    test('a load balancer without a replica is waited out', async () => {
      const it = await rig(flags, {}, (tei, clock) => startLoadBalancer({ replicas: [tei], clock }))
      await it.tei.crash(5_000)
      expectVectors(await it.run(numbered(40)), numbered(40))
    })

    test('a crash is waited out: reset, refused, warming, and on it goes', async () => {
      const it = await rig({ ...flags, baseMs: 200 })
      await it.tei.stop()
      await it.clock.advanceUntilSettled(it.tei.start({ warmUpMs: 5_000 }))
      const running = it.run(numbered(200))
      while (it.arrived < 2) await new Promise(setImmediate)
      await it.tei.crash(3_000)
      expectVectors(await running, numbered(200))
    })

    test('a kept connection that closes as it is used again costs no wait', async () => {
      const it = await rig(flags)
      it.meet(number => (number === 1 ? { kind: 'close_idle' } : undefined))
      const before = it.clock.now()
      expectVectors(await it.run(['a']), ['a'])
      expectVectors(await it.run(['b']), ['b'])
      expect(it.clock.now()).toBe(before)
    })

    test.each([
      ['before', undefined],
      ['within', 40],
    ])(
      'a stall %s the reply ends with the deadline, and the request is halved',
      async (_where, afterBytes) => {
        const it = await rig(flags, { timeoutMs: 150 })
        it.meet(number => (number === 1 ? { kind: 'stall', ...(afterBytes && { afterBytes }) } : undefined))
        expectVectors(await it.run(numbered(8)), numbered(8))
        expect(it.sent.map(({ length }) => length)).toEqual([8, 4, 4])
      },
    )

    test.each([1, 7, 64])('a reply in pieces of %i bytes is read like a whole one', async bytes => {
      const it = await rig(flags)
      it.meet(() => ({ kind: 'split', bytes }))
      expectVectors(await it.run(numbered(3)), numbered(3))
    })
  })
})
