// The fake TEI behaves as TEI 1.8.3 and 1.9.3: permits, batching, errors and timing.

import { once } from 'node:events'
import { connect } from 'node:net'
import { hashVector } from '@reembed/local'
import { afterEach, describe, expect, test } from 'vitest'
import { createManualClock, type ManualClock } from '../src/tei/clock.ts'
import { startLoadBalancer } from '../src/tei/load-balancer.ts'
import { type FakeTei, type FakeTeiOptions, startFakeTei } from '../src/tei/tei.ts'

const cleanUp: AsyncDisposable[] = []
afterEach(async () => {
  for (const each of cleanUp.splice(0).reverse()) await each[Symbol.asyncDispose]()
})

async function fake(options: FakeTeiOptions = {}): Promise<FakeTei> {
  const tei = await startFakeTei({ dimensions: 8, ...options })
  cleanUp.push(tei)
  return tei
}

const post = (url: string, body: unknown, init: RequestInit = {}): Promise<Response> =>
  fetch(url, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
    ...init,
  })
const embed = (tei: { url: string }, inputs: unknown, init?: RequestInit): Promise<Response> =>
  post(`${tei.url}/embed`, { inputs }, init)
const rowOf = (text: string, options = {}): number[] => [...hashVector(text, { dimensions: 8, ...options })]
const metric = async (tei: FakeTei, line: string): Promise<number> =>
  Number(new RegExp(`^${line} (\\d+)$`, 'm').exec(await (await fetch(`${tei.url}/metrics`)).text())?.[1] ?? 0)
const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  const deadline = Date.now() + 10_000
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error('waited for 10 s in vain')
    await new Promise(setImmediate)
  }
}

describe('the versions 1.8.3 and 1.9.3', () => {
  test.each([
    ['1.8.3', 413],
    ['1.9.3', 422],
  ] as const)(
    '%s answers what is not valid with %i, on both routes, with the same words',
    async (version, status) => {
      const tei = await fake({ version, maxInputLength: 3 })
      const inputs = Array(33).fill('a')
      const native = await embed(tei, inputs)
      expect(native.status).toBe(status)
      expect(await native.json()).toEqual({
        error: 'batch size 33 > maximum allowed batch size 32',
        error_type: 'Validation',
      })
      const openAi = await post(`${tei.url}/v1/embeddings`, { input: inputs })
      expect(openAi.status).toBe(status)
      expect(await openAi.json()).toMatchObject({ code: status, type: 'Validation' })
      const long = await post(`${tei.url}/embed`, { inputs: 'a b c d', truncate: false })
      expect(await long.json()).toMatchObject({
        error: 'Input validation error: `inputs` must have less than 3 tokens. Given: 4',
      })
      expect(long.status).toBe(status)
      expect((await embed(tei, '')).status).toBe(400)
    },
  )

  test('only 1.9.3 truncates by default and reports a served model name', async () => {
    const old = await fake({ version: '1.8.3', servedModelName: 'm@r1', maxInputLength: 2 })
    const info = (await (await fetch(`${old.url}/info`)).json()) as object
    expect(info).toMatchObject({ version: '1.8.3', auto_truncate: false })
    expect(info).not.toHaveProperty('served_model_name')
    expect((await embed(old, 'a b c')).status).toBe(413)
    expect(await (await post(`${old.url}/v1/embeddings`, { input: 'a' })).json()).toMatchObject({
      model: 'reembed/hash',
    })
    const tei = await fake({ servedModelName: 'm@r1', maxInputLength: 2 })
    expect(await (await fetch(`${tei.url}/info`)).json()).toMatchObject({
      version: '1.9.3',
      auto_truncate: true,
      served_model_name: 'm@r1',
    })
    expect((await embed(tei, 'a b c')).status).toBe(200)
  })
})

/** A manual clock, and requests that the fake has received when this resolves. */
function timed(
  tei: FakeTei,
): (inputs: string[], init?: RequestInit) => Promise<{ reply: Promise<Response> }> {
  return async (inputs, init) => {
    const before = tei.counts.received
    const reply = embed(tei, inputs, init)
    reply.catch(() => {})
    await until(() => tei.counts.received > before)
    return { reply }
  }
}

describe('permits', () => {
  const slow = { baseMs: 100, maxConcurrentRequests: 4 }

  test('1.9.3 refuses a whole request if one permit is missing, and computes none of it', async () => {
    const clock = createManualClock()
    const tei = await fake({ ...slow, clock })
    const send = timed(tei)
    const first = await send(['a', 'b', 'c'])
    const refused = await embed(tei, ['d', 'e'])
    expect(refused.status).toBe(429)
    expect(await refused.json()).toEqual({ error: 'Model is overloaded', error_type: 'Overloaded' })
    const fits = await send(['d'])
    const replies = await clock.advanceUntilSettled(Promise.all([first.reply, fits.reply]))
    expect(replies.map(({ status }) => status)).toEqual([200, 200])
    expect(tei.counts).toMatchObject({ received: 3, requests: 2, inputs: 4 })
    expect(await metric(tei, 'te_request_failure{err="overloaded"}')).toBe(1)
  })

  test('1.8.3 refuses a single text, and queues a batch for permits without limit', async () => {
    const clock = createManualClock()
    const tei = await fake({ ...slow, clock, version: '1.8.3' })
    const send = timed(tei)
    const first = await send(['a', 'b', 'c', 'd'])
    const waiting = await send(['e', 'f', 'g', 'h', 'i', 'j'])
    expect((await embed(tei, 'single')).status).toBe(429)
    const [one, two] = await clock.advanceUntilSettled(Promise.all([first.reply, waiting.reply]))
    expect([one.status, two.status]).toEqual([200, 200])
    expect(await two.json()).toEqual(['e', 'f', 'g', 'h', 'i', 'j'].map(text => rowOf(text)))
  })

  test('a client that disconnects releases its permits at once, and its queued texts are dropped', async () => {
    const clock = createManualClock()
    const tei = await fake({ ...slow, clock, maxBatchRequests: 1 })
    const send = timed(tei)
    const disconnected = new AbortController()
    const abandoned = await send(['a', 'b', 'c', 'd'], { signal: disconnected.signal })
    disconnected.abort()
    await expect(abandoned.reply).rejects.toThrow()
    await until(
      async () => (await clock.advanceUntilSettled(embed(tei, ['e', 'f', 'g', 'h']))).status === 200,
    )
    expect(tei.counts).toMatchObject({ requests: 1, inputs: 4 })
    // One batch ran and one was formed ahead; the other two texts were never computed.
    expect(await metric(tei, 'te_request_failure{err="dropped"}')).toBe(2)
  })
})

describe('time', () => {
  const headersOf = async (reply: Promise<Response>, clock: ManualClock): Promise<number[]> => {
    const { headers } = await clock.advanceUntilSettled(reply)
    return ['queue', 'inference', 'total'].map(name => Number(headers.get(`x-${name}-time`)))
  }

  test('a batch takes baseMs + msPerToken x tokens, whatever the load of the machine', async () => {
    const clock = createManualClock()
    const tei = await fake({ clock, baseMs: 10, msPerToken: 2 })
    expect(await headersOf(embed(tei, ['a b c', 'd e']), clock)).toEqual([0, 20, 20])
    expect(clock.now()).toBe(20)
  })

  test('a padded model takes the time of the longest text for each text', async () => {
    const clock = createManualClock()
    const tei = await fake({ clock, msPerToken: 1, padded: true })
    expect(await headersOf(embed(tei, ['a b c d e f g h i j', 'a', 'a']), clock)).toEqual([0, 30, 30])
  })

  test('one batch runs and one is formed ahead; later texts join the next batch', async () => {
    const clock = createManualClock()
    const tei = await fake({ clock, baseMs: 100 })
    const send = timed(tei)
    const first = await send(['a'])
    const second = await send(['b'])
    const third = await send(['c'])
    const fourth = await send(['d'])
    const waited = await Promise.all(
      [first, second, third, fourth].map(({ reply }) => headersOf(reply, clock)),
    )
    expect(waited.map(([queue]) => queue)).toEqual([0, 100, 200, 200])
    expect(clock.now()).toBe(300)
  })

  test('times are means over the inputs of a request that was split over batches', async () => {
    const clock = createManualClock()
    const tei = await fake({ clock, baseMs: 100, maxBatchRequests: 2 })
    expect(await headersOf(embed(tei, ['a', 'b', 'c', 'd']), clock)).toEqual([50, 100, 200])
  })
})

describe('faults of the model', () => {
  test('a poison text fails every request of its batch, after the batch was computed', async () => {
    const clock = createManualClock()
    const tei = await fake({ clock, baseMs: 10, faults: { failsBatch: text => text === 'poison' } })
    const send = timed(tei)
    const before = await send(['a'])
    const ours = await send(['b'])
    const [fine, alone] = await clock.advanceUntilSettled(Promise.all([before.reply, ours.reply]))
    expect([fine.status, alone.status]).toEqual([200, 200])
    const running = await send(['x'])
    const ahead = await send(['y'])
    const innocent = await send(['c'])
    const guilty = await send(['poison'])
    const replies = await clock.advanceUntilSettled(
      Promise.all([running, ahead, innocent, guilty].map(({ reply }) => reply)),
    )
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 424, 424])
    expect(await replies[2]?.json()).toMatchObject({ error_type: 'Backend' })
  })

  test('a broken GPU fails every batch at once, and /health reports it after the first', async () => {
    const tei = await fake({ faults: { allBatchesFail: true } })
    expect((await fetch(`${tei.url}/health`)).status).toBe(200)
    expect((await embed(tei, ['a'])).status).toBe(424)
    const health = await fetch(`${tei.url}/health`)
    expect(health.status).toBe(503)
    expect(await health.json()).toEqual({ error: 'unhealthy', error_type: 'Unhealthy' })
  })

  test('NaN is null in JSON and its bits in base64', async () => {
    const tei = await fake({ faults: { nan: (text, batch) => text === 'x' && batch.length > 1 } })
    expect(await (await embed(tei, ['x', 'y'])).json()).toEqual([Array(8).fill(null), rowOf('y')])
    const packed = await post(`${tei.url}/v1/embeddings`, { input: ['x', 'y'], encoding_format: 'base64' })
    const { data } = (await packed.json()) as { data: { embedding: string }[] }
    expect(Buffer.from(data[0]?.embedding ?? '', 'base64').readFloatLE(0)).toBeNaN()
    expect(await (await embed(tei, ['x'])).json()).toEqual([rowOf('x')])
  })

  test('a tokenizer failure is a 422 for the whole request', async () => {
    const tei = await fake({ faults: { tokenizer: text => text === 'x' } })
    const reply = await embed(tei, ['a', 'x'])
    expect([reply.status, await reply.json()]).toMatchObject([422, { error_type: 'Tokenizer' }])
  })

  test('jitter makes the vector of a text differ slightly between batches', async () => {
    const tei = await fake({ faults: { jitter: 1e-3 } })
    const rows = [
      (await (await embed(tei, 'a')).json()) as number[][],
      (await (await embed(tei, 'a')).json()) as number[][],
    ].map(([row]) => row ?? [])
    expect(rows[0]).not.toEqual(rows[1])
    const dot = rows[0]?.reduce((sum, value, i) => sum + value * (rows[1]?.[i] ?? 0), 0)
    expect(dot).toBeGreaterThan(0.9999)
  })
})

describe('start, crash and stop', () => {
  test('the port refuses connections until the warm-up has ended', async () => {
    const clock = createManualClock()
    const tei = await fake({ clock, warmUpMs: 30_000 })
    await expect(fetch(tei.url)).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } })
    await clock.advance(29_999)
    expect(tei.state).toBe('warming')
    await clock.advance(1)
    await until(() => tei.state === 'up')
    expect((await fetch(`${tei.url}/health`)).status).toBe(200)
  })

  test('a crash resets every connection; the server restarts at the same address after its warm-up', async () => {
    const clock = createManualClock()
    const tei = await fake({ clock, baseMs: 1_000, warmUpMs: 500 })
    await clock.advance(500)
    await until(() => tei.state === 'up')
    const { reply } = await timed(tei)(['a'])
    await tei.crash(10_000)
    await expect(reply).rejects.toMatchObject({ cause: { code: expect.stringMatching(/RESET|SOCKET/) } })
    await expect(fetch(tei.url)).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } })
    await clock.advance(10_500)
    await until(() => tei.state === 'up')
    expect((await clock.advanceUntilSettled(embed(tei, ['a']))).status).toBe(200)
  })

  test('stop completes active requests; the next start may use another model', async () => {
    const clock = createManualClock()
    const tei = await fake({ clock, baseMs: 100, model: 'm', sha: 'r1' })
    const { reply } = await timed(tei)(['a'])
    const stopped = tei.stop()
    expect(await (await clock.advanceUntilSettled(reply)).json()).toEqual([
      rowOf('a', { model: 'm', sha: 'r1' }),
    ])
    await stopped
    await tei.start({ sha: 'r2' })
    expect(await (await clock.advanceUntilSettled(embed(tei, ['a']))).json()).toEqual([
      rowOf('a', { model: 'm', sha: 'r2' }),
    ])
    expect(await (await fetch(`${tei.url}/info`)).json()).toMatchObject({ model_sha: 'r2' })
  })
})

describe('faults of the connection', () => {
  test.each([
    ['before the status line', undefined],
    ['within the body', 20],
  ])('a reset %s', async (_, afterBytes) => {
    const tei = await fake()
    tei.faults.request = () => ({ kind: 'reset', ...(afterBytes && { afterBytes }) })
    const reply = embed(tei, ['a']).then(got => got.text())
    await expect(reply).rejects.toThrow()
    expect(tei.counts).toMatchObject({ received: 1, inputs: 1 })
  })

  test('cut ends a body early, stall never ends it', async () => {
    const tei = await fake()
    tei.faults.request = () => ({ kind: 'cut', afterBytes: 10 })
    expect(await (await embed(tei, ['a'])).text()).toHaveLength(10)
    tei.faults.request = () => ({ kind: 'stall', afterBytes: 10 })
    const stalled = await embed(tei, ['a'])
    const reader = stalled.body?.getReader()
    expect((await reader?.read())?.value).toHaveLength(10)
    await expect(
      Promise.race([reader?.read(), new Promise(resolve => setTimeout(resolve, 50, 'nothing'))]),
    ).resolves.toBe('nothing')
    await reader?.cancel()
  })

  test('split sends the same reply in pieces', async () => {
    const tei = await fake()
    tei.faults.request = () => ({ kind: 'split', bytes: 7 })
    expect(await (await embed(tei, ['a', 'b'])).json()).toEqual([rowOf('a'), rowOf('b')])
  })

  test('close_idle resets a kept-alive connection when the next request arrives', async () => {
    const tei = await fake()
    tei.faults.request = ({ number }) => (number === 1 ? { kind: 'close_idle' } : undefined)
    const socket = connect(Number(new URL(tei.url).port), '127.0.0.1')
    const body = JSON.stringify({ inputs: 'a' })
    const request = `POST /embed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    socket.write(request)
    const [reply] = await once(socket, 'data')
    expect(String(reply)).toContain('200 OK')
    const ended = once(socket, 'error')
    socket.write(request)
    expect(await ended).toMatchObject([{ code: 'ECONNRESET' }])
    expect(tei.counts.received).toBe(1)
  })
})

describe('a load balancer', () => {
  test('distributes requests over replicas, skips one that is down, and answers HTML if all are', async () => {
    const replicas = [await fake(), await fake(), await fake()]
    const balancer = await startLoadBalancer({ replicas })
    cleanUp.push(balancer)
    for (let i = 0; i < 6; i++) expect((await embed(balancer, ['a'])).status).toBe(200)
    expect(replicas.map(({ counts }) => counts.requests)).toEqual([2, 2, 2])
    await replicas[1]?.crash()
    for (let i = 0; i < 6; i++) expect((await embed(balancer, ['a'])).status).toBe(200)
    await replicas[0]?.crash()
    await replicas[2]?.crash()
    const page = await embed(balancer, ['a'])
    expect([page.status, page.headers.get('content-type')]).toEqual([502, 'text/html'])
  })

  test('answers with an HTML 504 after its timeout', async () => {
    const clock = createManualClock()
    const balancer = await startLoadBalancer({
      replicas: [await fake({ clock, baseMs: 90_000 })],
      clock,
      timeoutMs: 60_000,
    })
    cleanUp.push(balancer)
    const page = await clock.advanceUntilSettled(embed(balancer, ['a']))
    expect([page.status, page.headers.get('content-type')]).toEqual([504, 'text/html'])
    expect(clock.now()).toBe(60_000)
  })

  test('injects a fault into the reply of a healthy replica', async () => {
    const replicas = [await fake()]
    const balancer = await startLoadBalancer({
      replicas,
      fault: ({ number }) =>
        number === 1 ? { kind: 'edit', edit: body => body.replace('[[', '[[9,') } : undefined,
    })
    cleanUp.push(balancer)
    expect(await (await embed(balancer, 'a')).json()).toEqual([[9, ...rowOf('a')]])
    expect(await (await embed(balancer, 'a')).json()).toEqual([rowOf('a')])
  })
})
