// Bad inputs 43 to 58: what endpoints and what stands between do. Those that are met while
// documents are embedded go through `embed` with a clock that a test moves, since they are about
// waiting; the others through the command.

import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { openEndpoint } from '@reembed/endpoint'
import { createLimiter } from '@reembed/limiter'
import { hashVector, type LocalRedis, startRedis } from '@reembed/local'
import type { Document, Reject } from '@reembed/protocol'
import { dispositionOf } from '@reembed/queue'
import { createManualClock, type FakeTei, type Fault, htmlPage, startFakeTei } from '@reembed/testing'
import { embed } from '@reembed/worker'
import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import { SELF_SIGNED } from '../parts/self-signed.ts'
import { bad, type Embedded, embedFiles, expectSaid, expectThrown, good, jsonl } from './parts.ts'

const MODEL = { model: 'fake/model', dimensions: 16 }
const DIMENSIONS = MODEL.dimensions

let redis: LocalRedis
const opened: AsyncDisposable[] = []
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis[Symbol.asyncDispose]())
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one[Symbol.asyncDispose]()
})

interface Sent {
  /** Requests of embedding routes since the fault was set. */
  requests: number
}

/** Embeds texts by an endpoint that, once it is opened, answers request by request as told. */
async function meet(
  fault: (request: number) => Fault | undefined,
  {
    texts = ['a', 'b', 'c'],
    timeoutMs,
    meanwhile,
  }: {
    readonly texts?: readonly string[]
    readonly timeoutMs?: number
    /** What happens to the server between its opening and the first text. */
    readonly meanwhile?: (tei: FakeTei) => Promise<void>
  } = {},
): Promise<{ ids: string[]; rejects: Reject[] } & Sent> {
  const clock = createManualClock()
  const tei = await startFakeTei({ ...MODEL, servedModelName: 'fake/model@r1', clock })
  opened.push(tei)
  const endpoint = await clock.advanceUntilSettled(
    openEndpoint(tei.url, timeoutMs === undefined ? {} : { timeoutMs }),
  )
  opened.push(endpoint)
  await meanwhile?.(tei)
  const sent: Sent = { requests: 0 }
  tei.faults.request = () => fault(++sent.requests)
  const documents = texts.map(
    (text, i): Document => ({ kind: 'document', id: text, text, position: { part: 0, offset: i } }),
  )
  const limiter = createLimiter({ max: 128 })
  const found = { ids: [] as string[], rejects: [] as Reject[] }
  const all = async (): Promise<void> => {
    for await (const window of embed(documents, { endpoint, limiter, clock, random: () => 0.5 })) {
      found.ids.push(...window.documents.map(({ id }) => id))
      found.rejects.push(...window.rejects)
      for (const [row, { text }] of window.documents.entries()) {
        expect(window.vectors.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS)).toEqual(
          hashVector(text, MODEL),
        )
      }
    }
  }
  await clock.advanceUntilSettled(all())
  return { ...found, ...sent }
}

/**
 * The reply with its rows changed: strings of base64 by one route, lists of numbers by the other.
 */
const rows = (edit: (rows: unknown[]) => unknown[]): Fault => ({
  kind: 'edit',
  edit(body) {
    const json = JSON.parse(body)
    return JSON.stringify(Array.isArray(json) ? edit(json) : { ...json, data: edit(json.data) })
  },
})
/** The same, vector by vector. */
const vectors = (edit: (vector: Float32Array) => Float32Array | unknown[]): Fault =>
  rows(all =>
    all.map(row => {
      if (Array.isArray(row)) return [...edit(Float32Array.from(row))]
      const { embedding } = Object(row)
      const made = edit(new Float32Array(Uint8Array.from(Buffer.from(embedding, 'base64')).buffer))
      return { ...Object(row), embedding: made instanceof Float32Array ? base64(made) : made }
    }),
  )
const base64 = (values: Float32Array): string => Buffer.from(values.buffer).toString('base64')
const status = (code: number, json: object = {}): Fault => ({
  kind: 'reply',
  reply: { status: code, json: JSON.stringify(json) },
})
const always = (fault: Fault) => (): Fault => fault
const first = (fault: Fault) => (request: number) => (request === 1 ? fault : undefined)
const whole = { ids: ['a', 'b', 'c'], rejects: [] }

bad(43, async input => {
  for (const fault of [rows(all => all.slice(1)), rows(all => [...all, all[0]])]) {
    expect(await meet(first(fault))).toMatchObject(whole)
  }
  await expectThrown(input, meet(always(rows(all => all.slice(1))), { texts: ['a', 'b'] }))
})

bad(44, async input => {
  await expectThrown(input, meet(always(vectors(vector => vector.slice(1)))))
})

bad(45, async input => {
  const value = (bad: number) => vectors(vector => vector.fill(bad, 3, 4))
  const met = []
  for (const fault of [
    value(Number.NaN),
    value(Number.POSITIVE_INFINITY),
    vectors(vector => [null, ...vector.slice(1)]),
  ]) {
    const { ids, rejects } = await meet(always(fault), { texts: ['a'] })
    expect(ids).toEqual([])
    met.push(...rejects.map(({ reason, message }) => `${reason}: ${message}`))
  }
  expect(new Set(met).size).toBe(1)
  const word = meet(always(vectors(vector => ['word', ...vector.slice(1)])), { texts: ['a'] })
  const said: string = await word.then(
    () => 'nothing',
    (error: unknown) => Object(error).message,
  )
  expectSaid(input, { code: 3, said: `${met[0]} | ${said.replace(/127\.0\.0\.1:\d+/, '<address>')}` })
})

bad(46, async input => {
  const zeros = vectors(vector => vector.fill(0))
  const { ids, rejects } = await meet(first(zeros), { texts: ['a'] })
  expect({ ids, rejects }).toEqual({ ids: ['a'], rejects: [] })
  const met = await meet(always(zeros), { texts: ['a'] })
  expectSaid(input, {
    code: 3,
    said: met.rejects.map(({ reason, message }) => `${reason}: ${message}`).join(),
  })
})

bad(47, async input => {
  const page: Fault = { kind: 'reply', reply: { ...htmlPage(200, 'Welcome'), status: 200 } }
  expect(await meet(first(page))).toMatchObject(whole)
  await expectThrown(input, meet(always(page)))
})

bad(48, async input => {
  const { ids, rejects, requests } = await meet(first({ kind: 'cut', afterBytes: 100 }))
  expect({ exit: input.exit, ids, rejects, requests }).toEqual({ exit: 0, ...whole, requests: 2 })
})

/** The job is requeued, and no attempt of it is used. */
async function expectPostponed(work: Promise<unknown>): Promise<void> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(dispositionOf(error, { draining: false }).do).toBe('delay')
}

bad(49, async input => {
  const full = always(status(429, { error: 'Model is overloaded', error_type: 'Overloaded' }))
  const met = meet(full)
  await expectPostponed(met)
  await expectThrown(input, met)
})

bad(50, async input => {
  expect(await meet(request => (request < 5 ? status(503) : undefined))).toMatchObject(whole)
  const met = meet(always(status(503)))
  await expectPostponed(met)
  await expectThrown(input, met)
})

/** `reembed run` with this endpoint. */
const run = (tei: string, env: Record<string, string> = {}, args: string[] = []): Promise<Embedded> =>
  embedFiles({ 'a.jsonl': jsonl(...good()) }, { tei, redis: redis.url, env, args })

async function serve(server: Server, scheme = 'http'): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  opened.push({
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  })
  return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const answering = (answer: RequestListener): Promise<string> => serve(createServer(answer))

bad(51, async input => {
  const tei = await startFakeTei({ ...MODEL, apiKey: 'the-key' })
  opened.push(tei)
  const [none, wrong] = [await run(tei.url), await run(tei.url, { REEMBED_ENDPOINT_TOKEN: 'very-secret' })]
  expect(wrong).toMatchObject({ code: none.code, said: none.said })
  expect(wrong.stderr).not.toContain('very-secret')
  const forbidden = await run(await answering((_, response) => response.writeHead(403).end()))
  expectSaid(input, { code: none.code, said: `${none.said} | ${forbidden.said}` })
})

bad(52, async input => {
  expectSaid(input, await run(await answering((_, response) => response.writeHead(404).end('not here'))))
})

bad(53, async input => {
  const to = { location: 'https://elsewhere.example/login?token=very-secret' }
  const made = await run(await answering((_, response) => response.writeHead(302, to).end()))
  expect(made.stderr).not.toContain('very-secret')
  expectSaid(input, made)
})

bad(54, async input => {
  const url = await serve(createTlsServer(SELF_SIGNED), 'https')
  expectSaid(input, await run(url))
  // A worker waits for a person to renew it, and spends no attempt.
  await expect(openEndpoint(url)).rejects.toMatchObject({ code: 'ENDPOINT_ACCESS_DENIED', retry: 'requeue' })
})

bad(55, async input => {
  const changed = meet(() => undefined, {
    async meanwhile(tei) {
      await tei.stop()
      await tei.start({ model: 'fake/other', servedModelName: 'fake/model@r2' })
    },
  })
  await expectPostponed(changed)
  await expectThrown(input, changed)
})

bad(56, async input => {
  const { ids, rejects } = await meet(first({ kind: 'stall' }), { timeoutMs: 300 })
  expect({ exit: input.exit, ids, rejects }).toEqual({ exit: 0, ...whole })
})

bad(57, async input => {
  const endless: Fault = { kind: 'edit', edit: body => body + ' '.repeat(65 * 2 ** 20) }
  expect(await meet(first(endless))).toMatchObject(whole)
  await expectThrown(input, meet(always(endless)))
})

bad(58, async input => {
  const same = vectors(() => hashVector('x', MODEL))
  const texts = Array.from({ length: 16 }, (_, i) => `text ${i}`)
  expect(await meet(first(same), { texts })).toMatchObject({ ids: texts, rejects: [] })
  const broken = await startFakeTei({ ...MODEL })
  opened.push(broken)
  broken.faults.request = always(same)
  expectSaid(input, await run(broken.url))
})
