import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Manifest } from '@reembed/protocol'
import { createShardWriter } from '@reembed/shard'
import { shardKey } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { compareRuns } from '../src/compare/runs.ts'

const MODEL = { id: 'm', revision: 'r', dimensions: 64, pooling: 'mean', normalized: true } as const
const SHARDS = 2
const ROWS = 1_000
const GROUP_ROWS = 50
/** As many ids are sorted in files. */
const VERY_MANY = 20_000_000

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-compare-'))
  vi.stubEnv('TMPDIR', folder)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true })
})

/** A run of the documents from `first` on; `rows` is what its manifest states. */
async function made(store: Store, run: string, first: number, rows = SHARDS * ROWS): Promise<Manifest> {
  for (let shard = 0; shard < SHARDS; shard += 1) {
    const pieces: Buffer[] = []
    const writer = createShardWriter({
      dimensions: MODEL.dimensions,
      sink: bytes => pieces.push(Buffer.from(bytes)),
      rowGroupRows: GROUP_ROWS,
    })
    const numbers = Array.from({ length: ROWS }, (_, row) => first + shard * ROWS + row)
    const vectors = new Float32Array(ROWS * MODEL.dimensions)
    for (const [row, i] of numbers.entries()) {
      vectors[row * MODEL.dimensions + (i % MODEL.dimensions)] = Math.SQRT1_2
      vectors[row * MODEL.dimensions + ((i + 1 + (i % 7)) % MODEL.dimensions)] = Math.SQRT1_2
    }
    writer.append({ ids: numbers.map(i => `doc-${i}`), hashes: new Uint8Array(16 * ROWS), vectors })
    writer.finish({
      run,
      shard,
      shards: SHARDS,
      spaceId: 's',
      recipeId: 'r',
      model: MODEL,
      source: [],
      documents: ROWS,
      rejects: [],
      tokens: 0,
      truncated: 0,
      repaired: 0,
    })
    await store.putIfAbsent(shardKey(run, shard, SHARDS), Buffer.concat(pieces))
  }
  return { run, shards: SHARDS, spaceId: 's', model: MODEL, totals: { rows } } as Manifest
}

test.each([
  ['in memory', undefined],
  ['through files', VERY_MANY],
])('P-BOUNDED: runs are compared %s: the same counts, sample and cosines', async (_, rows) => {
  await using store = await openStore(join(folder, 'out'), { create: true })
  const [a, b] = [await made(store, 'a', 0, rows), await made(store, 'b', 500, rows)]
  const { common, added, removed, documents, cosine, leastOverlap } = await compareRuns(store, a, b, {
    documents: 200,
    queries: 20,
  })
  expect({ common, added, removed, documents }).toEqual({
    common: 1_500,
    added: 500,
    removed: 500,
    documents: 200,
  })
  // The vector of a document depends on its id alone.
  expect(cosine?.mean).toBeCloseTo(1, 5)
  for (const { id } of leastOverlap) expect(Number(id.slice(4))).toSatisfy(i => i >= 500 && i < 2_000)
  expect(await readdir(folder)).toEqual(['out'])
})

test('P-BOUNDED: only the row groups that hold the sample are read', async () => {
  await using store = await openStore(join(folder, 'out'), { create: true })
  const [a, b] = [await made(store, 'a', 0), await made(store, 'b', 0)]
  let bytes = 0
  const counted: Store = {
    ...store,
    async get(key, options) {
      const got = await store.get(key, options)
      bytes += got.length
      return got
    },
  }
  const bytesFor = async (documents: number): Promise<number> => {
    bytes = 0
    expect((await compareRuns(counted, a, b, { documents, queries: 1 })).documents).toBe(documents)
    return bytes
  }
  const whole = await bytesFor(2_000)
  // Two documents are in two of the 40 row groups of a run at most.
  const vectors = 2 * SHARDS * ROWS * MODEL.dimensions * 4
  expect(whole).toBeGreaterThan(vectors)
  expect(whole - (await bytesFor(2))).toBeGreaterThan(0.9 * vectors)
})
