import { describe, expect, test } from 'vitest'
import { createShardBuffer, createShardBufferPool } from '../src/parquet/shard-buffer.ts'
import { createShardWriter, type ReceiptFields, type ShardRows } from '../src/write/writer.ts'

const DIMENSIONS = 8

const rowsOf = (rows: number): ShardRows => ({
  ids: Array.from({ length: rows }, (_, row) => `doc-${row}`),
  hashes: new Uint8Array(rows * 16).fill(7),
  vectors: new Float32Array(rows * DIMENSIONS).fill(0.5),
})

const factsOf = (documents: number): ReceiptFields => ({
  run: 'r',
  shard: 0,
  shards: 1,
  spaceId: 's',
  recipeId: 'r',
  model: { id: 'm', revision: null, dimensions: DIMENSIONS, pooling: null, normalized: false },
  source: [],
  documents,
  rejects: [],
  tokens: null,
  truncated: 0,
  repaired: 0,
})

describe('the shard writer', () => {
  test('holds one row group and no copy of a vector', () => {
    const seen: Uint8Array[] = []
    const writer = createShardWriter({ dimensions: DIMENSIONS, rowGroupRows: 100, sink: b => seen.push(b) })
    const rows = rowsOf(99)
    writer.append(rows)
    expect(writer.bytes).toBe(4)
    writer.append(rowsOf(1))
    expect(writer.bytes).toBeGreaterThan(100 * (DIMENSIONS * 4 + 16))
    expect(seen.some(({ buffer }) => buffer === rows.vectors.buffer)).toBe(true)
    expect(seen.some(({ buffer }) => buffer === rows.hashes.buffer)).toBe(true)
  })

  test('calls onWritten when the last row of an append is written, and at once for no rows', () => {
    const writer = createShardWriter({ dimensions: DIMENSIONS, rowGroupRows: 100, sink: () => {} })
    const written: string[] = []
    const append = (name: string, rows: number): void =>
      writer.append({ ...rowsOf(rows), onWritten: () => written.push(name) })
    append('first', 60)
    append('none', 0)
    expect(written).toEqual(['none'])
    append('second', 60)
    expect(written).toEqual(['none', 'first'])
    append('third', 80)
    expect(written).toEqual(['none', 'first', 'second', 'third'])
    append('fourth', 1)
    writer.finish(factsOf(201))
    expect(written).toEqual(['none', 'first', 'second', 'third', 'fourth'])
  })

  test('splits an append that spans several row groups', () => {
    const { sink, bytes } = createShardBuffer()
    const writer = createShardWriter({ dimensions: DIMENSIONS, rowGroupRows: 100, sink })
    writer.append(rowsOf(250))
    const whole = createShardBuffer()
    const other = createShardWriter({ dimensions: DIMENSIONS, rowGroupRows: 100, sink: whole.sink })
    const { ids, hashes, vectors } = rowsOf(250)
    for (let row = 0; row < 250; row++) {
      other.append({
        ids: ids.slice(row, row + 1),
        hashes: hashes.subarray(row * 16, row * 16 + 16),
        vectors: vectors.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS),
      })
    }
    expect(writer.finish(factsOf(250))).toEqual(other.finish(factsOf(250)))
    expect(Buffer.compare(bytes(), whole.bytes())).toBe(0)
    expect(writer.bytes).toBe(bytes().length)
  })

  test('refuses vectors of another dimension and ids with unpaired surrogates', () => {
    const writer = createShardWriter({ dimensions: 9, sink: () => {} })
    expect(() => writer.append(rowsOf(3))).toThrow('3 ids need 27 vector values')
    const ids = ['fine', 'half a \ud835']
    expect(() => writer.append({ ids, hashes: new Uint8Array(32), vectors: new Float32Array(18) })).toThrow(
      'the id "half a \\ud835" contains an unpaired surrogate',
    )
    expect(writer.rows).toBe(0)
  })

  test('writes the same file into reused memory as into fresh memory', () => {
    const buffers = createShardBufferPool()
    const write = (rows: number): Uint8Array => {
      const buffer = buffers.acquire()
      const writer = createShardWriter({ dimensions: DIMENSIONS, sink: buffer.sink })
      writer.append(rowsOf(rows))
      writer.finish(factsOf(rows))
      const bytes = buffer.bytes().slice()
      buffers.release(buffer)
      return bytes
    }
    const first = write(50)
    const longer = write(5_000)
    const again = write(50)
    expect(Buffer.compare(again, first)).toBe(0)
    expect(longer.length).toBeGreaterThan(again.length)
    expect(buffers.acquire()).not.toBe(buffers.acquire())
  })

  test('throws SHARD_FAILED with the fix for a shard of more than 1 GiB', () => {
    const { sink } = createShardBuffer()
    const huge = { length: 2 ** 30 + 1 } as Uint8Array
    expect(() => sink(huge)).toThrow('larger than 1 GiB: plan the run with smaller shards')
  })

  test('refuses a receipt that does not balance', () => {
    const writer = createShardWriter({ dimensions: DIMENSIONS, sink: () => {} })
    writer.append(rowsOf(3))
    expect(() => writer.finish(factsOf(4))).toThrow('has 4 documents')
  })
})
