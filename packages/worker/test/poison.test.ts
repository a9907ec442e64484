// One document of 200 that a server cannot embed: the other 199 get their vectors.

import { type Endpoint, openEndpoint } from '@reembed/endpoint'
import { createLimiter } from '@reembed/limiter'
import type { Document, Reject } from '@reembed/protocol'
import type { Clock } from '@reembed/shared'
import {
  type Call,
  createFastClock,
  DIMENSIONS,
  type Script,
  type ScriptedEndpoint,
  startScriptedEndpoint,
  vectorOf,
} from '@reembed/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createSuspects } from '../src/embed/suspects.ts'
import { type EmbedOptions, embed } from '../src/embed.ts'

const COUNT = 200
const BAD = 117
/** Long enough for each other request on a busy machine. */
const TIMEOUT_MS = 2_000

let server: ScriptedEndpoint
let endpoint: Endpoint

beforeEach(async () => {
  server = await startScriptedEndpoint()
  endpoint = await openEndpoint(server.url, { timeoutMs: TIMEOUT_MS })
})
afterEach(async () => {
  await endpoint[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

/** Sleeping takes no time, but the clock moves on. */
function createSkippingClock(): Clock {
  let now = 0
  return {
    now: () => now,
    async sleep(ms, signal) {
      signal?.throwIfAborted()
      now += ms
    },
  }
}

const documents = (): Document[] =>
  Array.from({ length: COUNT }, (_, i) => ({
    kind: 'document',
    id: `d${i}`,
    text: i === BAD ? 'poison' : `document ${i}`,
    position: { part: 0, offset: i * 100, line: i + 1 },
  }))

async function embedAll(options: Partial<EmbedOptions> = {}): Promise<Reject[]> {
  const rejects: Reject[] = []
  let rows = 0
  const clock = createSkippingClock()
  // The limiter spaces retries by its clock: ten a second.
  await using limiter = createLimiter({ max: 400, clock: createFastClock(100) })
  for await (const window of embed(documents(), {
    endpoint,
    limiter,
    clock,
    random: () => 0.5,
    ...options,
  })) {
    rejects.push(...window.rejects)
    rows += window.documents.length
    for (const [i, { text }] of window.documents.entries())
      expect(window.vectors.subarray(i * DIMENSIONS, (i + 1) * DIMENSIONS)).toEqual(vectorOf(text))
  }
  expect(rows + rejects.length).toBe(COUNT)
  return rejects
}

const isBad = ({ texts }: Call): boolean => texts.includes('poison')
const fails: Readonly<Record<string, Script>> = {
  'HTTP 500': (call, response) => isBad(call) && response.writeHead(500).end('boom') !== undefined,
  'HTTP 502 with a page': (call, response) =>
    isBad(call) && response.writeHead(502, { 'content-type': 'text/html' }).end('<html>') !== undefined,
  'HTTP 400 without a reason': (call, response) => isBad(call) && response.writeHead(400).end() !== undefined,
  'a connection that ends': (call, response) => isBad(call) && response.destroy() !== undefined,
  'no reply': call => (isBad(call) ? new Promise<boolean>(() => {}) : false),
}

describe.each(Object.entries(fails))('a document that is answered by %s', (_, script) => {
  test('becomes a reject with the failure, and the others are embedded', async () => {
    server.script(script)
    const rejects = await embedAll()
    expect(rejects).toMatchObject([{ id: `d${BAD}`, reason: 'refused_by_model' }])
    expect(server.calls.filter(isBad).length).toBeLessThan(30)
  })
})

test('the message of the server is the message of the reject', async () => {
  server.script(
    (call, response) => isBad(call) && response.writeHead(500).end('token 17 is out of range') !== undefined,
  )
  expect(await embedAll()).toMatchObject([{ message: 'HTTP 500: token 17 is out of range' }])
})

describe('a document that crashes the server', () => {
  /** After each poisoned request, this many requests find no server. */
  const crashing = (downFor: number): Script => {
    let down = 0
    return (call, response) => {
      if (down > 0) {
        down -= 1
        return response.destroy() !== undefined
      }
      if (!isBad(call)) return false
      down = downFor
      return response.destroy() !== undefined
    }
  }

  test('is set aside after a bounded number of crashes, when the server returns quickly', async () => {
    server.script(crashing(2))
    expect(await embedAll()).toMatchObject([{ id: `d${BAD}`, reason: 'refused_by_model' }])
    expect(server.calls.filter(isBad).length).toBeLessThan(20)
  })

  test('is set aside by later attempts of the job, when the server takes longer than a job waits', async () => {
    const suspects = createSuspects()
    server.script(crashing(60))
    let rejects: Reject[] | undefined
    for (let attempts = 1; rejects === undefined; attempts += 1) {
      expect(attempts).toBeLessThan(60)
      rejects = await embedAll({ suspects }).catch((error: unknown) => {
        expect(error).toMatchObject({ retry: 'requeue' })
        return undefined
      })
    }
    expect(rejects).toMatchObject([{ id: `d${BAD}`, reason: 'refused_by_model' }])
    expect(server.calls.filter(isBad).length).toBeLessThan(40)
  }, 300_000)
})

test.each([
  ['HTTP 500', (_call: Call, response: Parameters<Script>[1]) => response.writeHead(500).end() !== undefined],
  [
    'a connection that ends',
    (_call: Call, response: Parameters<Script>[1]) => response.destroy() !== undefined,
  ],
])(
  'a server that answers every request by %s rejects no document: the job is requeued',
  async (_, script) => {
    server.script(script)
    await expect(embedAll()).rejects.toMatchObject({ code: 'ENDPOINT_UNREACHABLE', retry: 'requeue' })
  },
)
