import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ModelReference } from '@reembed/protocol'
import { openStore } from '@reembed/store'
import {
  DIMENSIONS,
  INFO,
  type ScriptedEndpoint,
  startFakeTei,
  startScriptedEndpoint,
} from '@reembed/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Endpoint } from '../src/client/endpoint.ts'
import { openEndpoint } from '../src/client/open.ts'
import {
  assertSameModel,
  checkReference,
  computeReference,
  ensureReference,
  modelOf,
  referenceTexts,
} from '../src/identity.ts'

/** A clock at which the reference texts take the next of these times, and in the end no time. */
function clockOf(...takenMs: number[]): () => number {
  let [ms, calls] = [0, 0]
  return () => {
    if (calls++ % 2 === 1) ms += takenMs.shift() ?? 0
    return ms
  }
}

let server: ScriptedEndpoint
let endpoint: Endpoint

beforeEach(async () => {
  server = await startScriptedEndpoint()
  endpoint = await openEndpoint(server.url)
})
afterEach(async () => {
  await endpoint[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

describe('assertSameModel', () => {
  test('the model a run was planned with passes', () => {
    assertSameModel(modelOf(endpoint), endpoint)
  })

  test('another revision is refused, naming both and the endpoint', () => {
    const planned = { ...modelOf(endpoint), revision: 'r0' }
    expect(() => assertSameModel(planned, endpoint)).toThrow(
      `the run requires model test/model@r0, but the endpoint ${server.url} serves test/model@r1`,
    )
  })

  test.each([
    ['dimensions', { dimensions: 768 }],
    ['pooling', { pooling: 'cls' }],
    ['normalized', { normalized: false }],
  ])('the same name with other %s is refused, saying what differs', (what, differs) => {
    expect(() => assertSameModel({ ...modelOf(endpoint), ...differs }, endpoint)).toThrow(`with ${what} `)
  })
})

describe('checkReference', () => {
  const changed = (
    reference: ModelReference,
    change: (value: number, i: number) => number,
  ): ModelReference => ({
    ...reference,
    vectors: reference.vectors.map((vector, row) => (row === 3 ? vector.map(change) : vector)),
  })

  test('the same weights measured twice agree, and survive JSON', async () => {
    const stored: ModelReference = JSON.parse(JSON.stringify(await computeReference(endpoint)))
    expect(stored.vectors).toHaveLength(referenceTexts.length)
    expect(stored.vectors[0]).toHaveLength(DIMENSIONS)
    checkReference(await computeReference(endpoint), stored, server.url)
  })

  test('a slow endpoint embeds the reference texts twice, the second time in a full request, which measures its noise', async () => {
    server.script(() => false)
    const { vectors, radius } = await computeReference(endpoint, { now: clockOf(320, 320) })
    expect(vectors).toHaveLength(referenceTexts.length)
    expect(server.calls.map(({ texts }) => texts.length)).toEqual([8, 31])
    expect(radius).toBeLessThan(1e-7)
  })

  test('an endpoint that is slow once is measured as a fast one', async () => {
    server.script(() => false)
    await computeReference(endpoint, { now: clockOf(320, 20) })
    expect(server.calls.map(({ texts }) => texts.length)).toEqual([
      8,
      31,
      ...Array<number>(8).fill(1),
      32,
      32,
      32,
    ])
  })

  test('what decides is the time of a request, not of all texts', async () => {
    server.info = { ...INFO, max_client_batch_size: 1 }
    await using single = await openEndpoint(server.url)
    server.script(() => false)
    await computeReference(single, { rounds: 1, now: clockOf(8 * 100) })
    expect(server.calls).toHaveLength(24)
  })

  test('noise as of half precision passes', async () => {
    const stored = await computeReference(endpoint)
    checkReference(
      changed(stored, (value, i) => value + (i % 2 ? 1e-3 : -1e-3)),
      stored,
      server.url,
    )
  })

  test('new weights under the same name are found, in whichever text they show', async () => {
    const stored = await computeReference(endpoint)
    const other = changed(stored, (value, i) => (i === 0 ? value + 0.1 : value))
    expect(() => checkReference(other, stored, server.url)).toThrow(
      /serves test\/model@r1.*cosine 0\.9\d+ for reference text 4/,
    )
  })

  test('other dimensions and missing vectors are no match', async () => {
    const stored = await computeReference(endpoint)
    expect(() => checkReference({ ...stored, vectors: [] }, stored, server.url)).toThrow('cosine 0.0000')
  })
})

test('a server of few permits is proved within them', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-'))
  try {
    await using store = await openStore(folder)
    await using tei = await startFakeTei({ dimensions: 8, maxConcurrentRequests: 4, baseMs: 5 })
    await using small = await openEndpoint(tei.url)
    expect((await ensureReference(store, small)).vectors).toHaveLength(referenceTexts.length)
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('I6: vectors that are kept for a model are its own, also when an update is begun and taken back twice meanwhile', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-'))
  try {
    await using store = await openStore(folder)
    let restated = 0
    const updated: Endpoint = {
      ...endpoint,
      restate() {
        // Asked for its name it is what it will be; the vectors are those of what it was, and
        // stays.
        if (++restated === 2) server.info = { ...INFO, served_model_name: 'test/model@r0' }
        return endpoint.restate()
      },
    }
    const settled = ensureReference(store, updated)
    await expect(settled).rejects.toThrow(`the endpoint ${server.url} serves test/model@r0`)
    expect(await Array.fromAsync(store.list(''))).toEqual([])
  } finally {
    await rm(folder, { recursive: true })
  }
})
