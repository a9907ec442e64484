// The reads that reading a shard costs. Every kind of damage is detected and reported as what it
// is.

import {
  checkShard,
  createShardBuffer,
  createShardWriter,
  readIdHashes,
  readIds,
  readReceipt,
  readShard,
} from '@reembed/shard'
import { createIdHash, ReembedError } from '@reembed/shared'
import { tableFromArrays, tableToIPC } from 'apache-arrow'
import fc from 'fast-check'
import { Table as WasmTable, writeParquet } from 'parquet-wasm'
import { describe, expect, it } from 'vitest'
import { resigned } from '../parts/resigned.ts'
import { factsOf, makeRows, memoryStore, writeShard } from './parts.ts'

// The same examples in each run.
fc.configureGlobal({ seed: 1 })

const KEY = 'runs/r/data/part-00017-of-00042.parquet'

const check = (bytes: Uint8Array, expected = {}) => checkShard(memoryStore({ [KEY]: bytes }), KEY, expected)

async function messageFrom(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof ReembedError)) throw new Error(`expected a ReembedError, got ${error}`)
  expect(error.code).toBe('CORRUPT')
  expect(error.exitCode).toBe(4)
  expect(error.message).toContain(`${KEY} in memory`)
  return error.message
}

describe('reading', () => {
  const reject = {
    id: 'x',
    reason: 'empty_text',
    message: 'has no text',
    position: { part: 0, offset: 12, line: 3 },
  } as const

  it('returns the receipt that was written, with one range read', async () => {
    const { bytes, receipt } = writeShard({ rows: 3_000, dimensions: 384, facts: { rejects: [reject] } })
    const store = memoryStore({ [KEY]: bytes })
    const read = await readReceipt(store, KEY)
    expect(read.receipt).toEqual(receipt)
    expect(read.size).toBe(bytes.length)
    expect(store.reads).toEqual([{ key: KEY, bytes: 64 * 1024 }])
  })

  it('reads the whole body with one range read for each row group', async () => {
    const { bytes, receipt } = writeShard({ rows: 6_000, dimensions: 384 })
    const store = memoryStore({ [KEY]: bytes })
    const read = readShard(store, KEY, { size: bytes.length, bodySha256: receipt.bodySha256 })
    expect((await Array.fromAsync(read)).map(({ ids }) => ids.length)).toEqual([2_728, 2_728, 544])
    expect(store.reads).toHaveLength(1 + 3)
  })

  it('takes a second range read for a receipt with very many rejects', async () => {
    const rejects = Array.from({ length: 2_000 }, () => reject)
    const { bytes, receipt } = writeShard({ rows: 3_000, dimensions: 384, facts: { rejects } })
    const store = memoryStore({ [KEY]: bytes })
    expect((await readReceipt(store, KEY, { size: bytes.length })).receipt).toEqual(receipt)
    expect(store.reads).toHaveLength(2)
  })

  it('takes a size of 0, of a shard that a LIST did not have yet, as unknown', async () => {
    const { bytes, receipt } = writeShard({ rows: 10, dimensions: 4 })
    const store = memoryStore({ [KEY]: bytes })
    expect((await readReceipt(store, KEY, { size: 0 })).receipt).toEqual(receipt)
    expect(await messageFrom(readReceipt(memoryStore(), KEY, { size: 0 }))).toContain('is missing')
  })

  it('hashes the ids of a shard that has more of them than are reserved for at first', async () => {
    const { bytes, ids } = writeShard({ rows: 10_000, dimensions: 4, rowGroupRows: 3_000 })
    const hash = createIdHash('key')
    expect(await readIdHashes(memoryStore({ [KEY]: bytes }), KEY, hash)).toEqual(
      BigUint64Array.from(ids, hash.of),
    )
  })

  it.each<[string, string, string, string]>([
    ['a negative number of', '\xd8\x04', '\xd7\x04', 'row group 0 claims -300 rows'],
    ['more', '"rows":300', '"rows":999', 'has 300 rows, but its receipt states 999'],
  ])('P-BOUNDED: reserves nothing for %s rows that a signed footer claims', async (_, from, to, message) => {
    const { bytes } = writeShard({ rows: 300, dimensions: 4 })
    const shard = Buffer.from(bytes)
    const footer = shard.length - 8 - shard.readUInt32LE(shard.length - 8)
    const claimed = shard.toString('latin1', footer).replaceAll(from, to)
    const forged = resigned(Buffer.concat([shard.subarray(0, footer), Buffer.from(claimed, 'latin1')]))
    const read = readIdHashes(memoryStore({ [KEY]: forged }), KEY, createIdHash('key'))
    expect(await messageFrom(read)).toContain(message)
  })

  it('reads only the id column for the ids', async () => {
    const { bytes, ids } = writeShard({ rows: 3_000, dimensions: 768, rowGroupRows: 1_000 })
    const store = memoryStore({ [KEY]: bytes })
    expect(await readIds(store, KEY)).toEqual(ids)
    expect(store.reads).toHaveLength(1 + 3)
    expect(store.reads.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(bytes.length / 50)
  })

  it('reads one row group at a time and none ahead of the consumer', async () => {
    const { bytes } = writeShard({ rows: 3_000, dimensions: 768, rowGroupRows: 1_000 })
    const store = memoryStore({ [KEY]: bytes })
    for await (const { ids, vectors } of readShard(store, KEY)) {
      expect(ids).toHaveLength(1_000)
      expect(vectors).toHaveLength(768_000)
      break
    }
    expect(store.reads).toHaveLength(2)
    expect(store.reads[1]?.bytes).toBeLessThan(1_000 * (768 * 4 + 50))
  })

  it('stops when its signal is aborted', async () => {
    const store = memoryStore({ [KEY]: writeShard({ rows: 10, dimensions: 8 }).bytes })
    await expect(readReceipt(store, KEY, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i)
  })
})

describe('checkShard', () => {
  const shard = writeShard({ rows: 600, dimensions: 16, rowGroupRows: 256 })

  it('accepts a shard of the writer', async () => {
    const { run, spaceId, recipeId, bodySha256 } = shard.receipt
    const expected = { run, shard: 17, shards: 42, spaceId, recipeId, bodySha256 }
    expect(await check(shard.bytes, expected)).toMatchObject({
      receipt: shard.receipt,
      size: shard.bytes.length,
    })
  })

  it('detects every changed byte', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(shard.bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
        const bytes = shard.bytes.slice()
        bytes[at] = (bytes[at] ?? 0) ^ mask
        expect(await messageFrom(check(bytes))).toMatch(/was changed after it was written|is truncated/)
      }),
      { numRuns: 1_000 },
    )
  })

  it('detects every changed byte of the footer', async () => {
    const { footerStart } = await check(shard.bytes)
    for (let at = footerStart; at < shard.bytes.length - 4; at++) {
      const bytes = shard.bytes.slice()
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8))
      expect(await messageFrom(check(bytes)), `byte ${at}`).toContain('was changed after it was written')
    }
  })

  it('detects a truncation at any length', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 4, max: shard.bytes.length - 1 }), async size => {
        const message = await messageFrom(check(shard.bytes.slice(0, size)))
        expect(message).toContain(`is truncated: its ${size} bytes`)
      }),
    )
  })

  it('distinguishes a file that is not Parquet, not a shard, missing, or of another job', async () => {
    expect(await messageFrom(check(Buffer.from('{"id":"1","text":"a line of JSON"}\n')))).toContain(
      'is not a Parquet file',
    )
    expect(await messageFrom(check(Buffer.of()))).toContain('is not a Parquet file')
    const table = WasmTable.fromIPCStream(tableToIPC(tableFromArrays({ id: ['1'] }), 'stream'))
    expect(await messageFrom(check(writeParquet(table)))).toContain(
      'is a Parquet file but not a shard of reembed: it has no reembed.receipt',
    )
    expect(await messageFrom(readReceipt(memoryStore(), KEY))).toContain('is missing')
    expect(await messageFrom(check(shard.bytes, { shard: 18 }))).toContain('its shard is 17, expected 18')
    expect(await messageFrom(check(shard.bytes, { spaceId: 'other' }))).toContain('its spaceId is space')
  })

  it.each([
    ['Number.NaN', Number.NaN, 'has values that are not finite'],
    ['infinity', Number.POSITIVE_INFINITY, 'has values that are not finite'],
    ['a long vector', 3, 'has length 3.'],
  ])('refuses %s and names the document', async (_name, value, what) => {
    const { ids, hashes, vectors } = makeRows({ rows: 100, dimensions: 16 })
    vectors[41 * 16 + 3] = value
    const { sink, bytes } = createShardBuffer()
    const writer = createShardWriter({ dimensions: 16, sink })
    writer.append({ ids, hashes, vectors })
    writer.finish(factsOf(100, 16))
    const message = await messageFrom(check(bytes()))
    expect(message).toContain(`the vector of ${JSON.stringify(ids[41])} (row 41) ${what}`)
  })

  it('refuses zero vectors and equal vectors of different texts', async () => {
    for (const [value, what] of [
      [0, 'is all zeros'],
      [0.25, 'of its 100 texts have the same vector as most others'],
    ] as const) {
      const { ids, hashes, vectors } = makeRows({ rows: 100, dimensions: 16 })
      const { sink, bytes } = createShardBuffer()
      const writer = createShardWriter({ dimensions: 16, sink })
      writer.append({ ids, hashes, vectors: vectors.fill(value) })
      writer.finish(factsOf(100, 16))
      expect(await messageFrom(check(bytes()))).toContain(what)
    }
  })

  it('refuses a receipt that does not balance on write', () => {
    const writer = createShardWriter({ dimensions: 8, sink: () => {} })
    expect(() => writer.finish(factsOf(1, 8))).toThrow('has 1 documents')
  })
})
