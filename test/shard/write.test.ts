// Shards as DuckDB, arrow-rs and hyparquet read them. These share no code with the writer of the
// vector column.

import { zstdDecompressSync } from 'node:zlib'
import { checkShard, readShard } from '@reembed/shard'
import { tableFromIPC } from 'apache-arrow'
import fc from 'fast-check'
import { type FileMetaData, parquetMetadata, parquetReadObjects } from 'hyparquet'
import { readOffsetIndex } from 'hyparquet/src/indexes.js'
import { deserializeTCompactProtocol } from 'hyparquet/src/thrift.js'
import { readParquet } from 'parquet-wasm'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DuckDb, openDuckDb } from './duckdb.ts'
import { bytesOf, memoryStore, type WriteOptions, writeShard } from './parts.ts'

// The same examples in each run.
fc.configureGlobal({ seed: 1 })

const DIMENSIONS = [1, 2, 3, 7, 8, 9, 15, 16, 31, 384, 768, 1023, 1024, 4096]
const pageRowsOf = (dimensions: number): number => Math.floor(2 ** 20 / (4 * dimensions))

let duckdb: DuckDb
beforeAll(async () => {
  duckdb = await openDuckDb()
})
afterAll(() => duckdb[Symbol.asyncDispose]())

type Rows = { readonly ids: readonly string[]; readonly vectors: Buffer; readonly hashes: Buffer }

const readers = {
  async duckdb(bytes: Uint8Array, dimensions: number): Promise<Rows> {
    const lengths = await duckdb.column(bytes, 'SELECT DISTINCT len(embedding) FROM FILE')
    expect(lengths).toEqual([BigInt(dimensions)])
    const values = (await duckdb.column(bytes, 'SELECT unnest(embedding) FROM FILE')) as number[]
    return {
      ids: (await duckdb.column(bytes, 'SELECT id FROM FILE')) as string[],
      vectors: bytesOf(Float32Array.from(values)),
      hashes: Buffer.from(
        (await duckdb.column(bytes, 'SELECT lower(hex(content_hash)) FROM FILE')).join(''),
        'hex',
      ),
    }
  },

  async arrowRs(bytes: Uint8Array): Promise<Rows> {
    const table = tableFromIPC(readParquet(bytes).intoIPCStream())
    const ids: string[] = []
    const vectors: Uint8Array[] = []
    const hashes: Uint8Array[] = []
    for (const batch of table.batches) {
      for (let row = 0; row < batch.numRows; row++) {
        ids.push(batch.getChild('id')?.get(row))
        vectors.push(bytesOf(batch.getChild('embedding')?.get(row).toArray()))
        hashes.push(batch.getChild('content_hash')?.get(row))
      }
    }
    return { ids, vectors: Buffer.concat(vectors), hashes: Buffer.concat(hashes) }
  },

  async hyparquet(bytes: Uint8Array): Promise<Rows> {
    const rows = await parquetReadObjects({
      file: bytes.slice().buffer,
      compressors: { ZSTD: input => zstdDecompressSync(input) },
      utf8: false,
    })
    return {
      ids: rows.map(row => row.id),
      vectors: bytesOf(Float32Array.from(rows.flatMap(row => Array.from(row.embedding)))),
      hashes: Buffer.concat(rows.map(row => row.content_hash)),
    }
  },

  async reembed(bytes: Uint8Array): Promise<Rows> {
    const parts = { ids: [] as string[], vectors: [] as Buffer[], hashes: [] as Uint8Array[] }
    for await (const batch of readShard(memoryStore({ key: bytes }), 'key')) {
      parts.ids.push(...batch.ids)
      parts.vectors.push(bytesOf(batch.vectors))
      parts.hashes.push(batch.hashes)
    }
    return { ...parts, vectors: Buffer.concat(parts.vectors), hashes: Buffer.concat(parts.hashes) }
  },
}

const READERS = ['duckdb', 'arrowRs', 'hyparquet', 'reembed'] as const

async function expectReadBack(
  options: WriteOptions,
  names: readonly (keyof typeof readers)[] = READERS,
): Promise<void> {
  const { ids, hashes, vectors, bytes } = writeShard(options)
  for (const name of names) {
    const read = await readers[name](bytes, options.dimensions)
    expect(read.ids, `${name}: ids`).toEqual(ids)
    expect(read.vectors.equals(bytesOf(vectors)), `${name}: vectors`).toBe(true)
    expect(read.hashes.equals(hashes), `${name}: hashes`).toBe(true)
  }
}

describe('rows are read back bit for bit', () => {
  it.each(DIMENSIONS)('by DuckDB, arrow-rs, hyparquet and ourselves, %i dimensions', async dimensions => {
    await expectReadBack({ rows: 37, dimensions, rowGroupRows: 17, batch: 5 })
  })

  it.each([15, 768, 1023, 4096])(
    'by DuckDB and arrow-rs around the borders of pages and row groups, %i dimensions',
    async dimensions => {
      const page = pageRowsOf(dimensions)
      for (const rows of [page - 1, page, page + 1, 2 * page + 4]) {
        await expectReadBack({ rows, dimensions, rowGroupRows: page + 3, batch: 1_000 }, [
          'duckdb',
          'arrowRs',
          'reembed',
        ])
      }
    },
  )

  it('for any rows, dimensions, row groups and appends', async () => {
    const dimensions = fc.constantFrom(...DIMENSIONS)
    await fc.assert(
      fc.asyncProperty(
        dimensions.chain(dimensions =>
          fc.record({
            dimensions: fc.constant(dimensions),
            // Around whole pages and whole row groups, up to two pages of values.
            rows: fc
              .tuple(fc.constantFrom(0, 1, 2), fc.integer({ min: -2, max: 2 }))
              .map(([pages, more]) => Math.max(0, Math.min(pages * pageRowsOf(dimensions), 70_000) + more)),
            rowGroupRows: fc.constantFrom(undefined, 1 + pageRowsOf(dimensions), 7_001),
            batch: fc.constantFrom(13, 32, 10_000),
            seed: fc.integer(),
          }),
        ),
        async options => {
          await expectReadBack(options, ['reembed'])
        },
      ),
      { numRuns: 40 },
    )
  })

  it('with ids of every script, empty ids and long ids', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'binary', maxLength: 40 }), { maxLength: 50 }),
        fc.integer({ min: 0, max: 3 }),
        async (texts, long) => {
          const ids = [...texts, ...Array.from({ length: long }, (_, i) => `${'é'.repeat(300_000)}${i}`)]
          const { bytes } = writeShard({ rows: ids.length, dimensions: 2, ids })
          expect((await readers.reembed(bytes)).ids).toEqual(ids)
          expect((await readers.hyparquet(bytes)).ids).toEqual(ids)
          const bounds = parquetMetadata(bytes).row_groups[0]?.columns[0]?.meta_data?.statistics
          const sorted = ids.map(id => Buffer.from(id)).sort(Buffer.compare)
          if (!bounds || sorted.length === 0) return
          expect(Buffer.from(String(bounds.min_value)).compare(sorted[0] ?? Buffer.of())).toBeLessThanOrEqual(
            0,
          )
          expect(
            Buffer.from(String(bounds.max_value)).compare(sorted.at(-1) ?? Buffer.of()),
          ).toBeGreaterThanOrEqual(0)
        },
      ),
      { numRuns: 30 },
    )
  })
})

describe('the file', () => {
  const shard = writeShard({ rows: 12_000, dimensions: 768 })

  it('has no dictionary and no statistics on the vectors, plain pages, and bounds on the ids', async () => {
    const columns = await duckdb.query(
      shard.bytes,
      `SELECT row_group_id, path_in_schema AS path, encodings, compression, stats_min_value AS min, stats_max_value AS max,
              dictionary_page_offset AS dictionary, row_group_num_rows AS rows FROM parquet_metadata(FILE)`,
    )
    expect(columns.map(({ rows }) => rows)).toEqual(
      Array(9 * 3)
        .fill(0n)
        .map((_, i) => (i < 8 * 3 ? 1_364n : 1_088n)),
    )
    for (const { path, encodings, compression, min, max, dictionary } of columns) {
      expect(dictionary).toBeNull()
      expect(encodings).toMatch(/^(PLAIN|PLAIN, RLE)$/)
      expect(compression).toBe(path === 'id' ? 'ZSTD' : 'UNCOMPRESSED')
      if (path === 'id') expect([min, max]).toEqual([expect.stringContaining('doc-'), expect.any(String)])
      else expect([min, max]).toEqual([null, null])
    }
  })

  it('has the list schema of the Parquet format', async () => {
    const schema = await duckdb.query(
      shard.bytes,
      'SELECT name, type, repetition_type, logical_type FROM parquet_schema(FILE) OFFSET 1',
    )
    expect(schema.map(row => Object.values(row).join(' '))).toEqual([
      'id BYTE_ARRAY REQUIRED StringType()',
      'embedding  REQUIRED ListType()',
      'list  REPEATED ',
      'element FLOAT REQUIRED ',
      'content_hash FIXED_LEN_BYTE_ARRAY REQUIRED ',
    ])
  })

  it('starts every page at a row and records it in the offset index', () => {
    const metadata = parquetMetadata(shard.bytes)
    const pages = pagesOf(shard.bytes, metadata)
    expect(pages).toHaveLength(9 * 4)
    for (const [index, { firstRow, values, firstLevel, bytes }] of pages.entries()) {
      expect(firstRow).toBe(BigInt((index % 4) * 341))
      expect(values).toBe((index === 35 ? 1_088 - 3 * 341 : 341) * 768)
      expect(firstLevel).toEqual([1, 0])
      expect(bytes).toBeLessThanOrEqual(2 ** 20 + 2_048)
    }
  })

  it('has the main facts of the receipt as plain keys', async () => {
    const pairs = await duckdb.query(
      shard.bytes,
      'SELECT decode(key) AS key, decode(value) AS value FROM parquet_kv_metadata(FILE)',
    )
    const keys = Object.fromEntries(pairs.map(({ key, value }) => [key, value]))
    expect(JSON.parse(String(keys['reembed.receipt']))).toEqual(shard.receipt)
    expect(keys).toMatchObject({
      'reembed.version': '1',
      'reembed.run_id': shard.receipt.run,
      'reembed.space_id': 'space',
      'reembed.recipe_id': 'recipe',
      'reembed.model_id': 'BAAI/bge-base-en-v1.5',
      'reembed.model_revision': 'a5beb1e3',
      'reembed.dimensions': '768',
      'reembed.normalized': 'true',
      'reembed.dtype': 'float32',
    })
  })

  it('is the same, byte for byte, for any split into appends', () => {
    const again = writeShard({ rows: 12_000, dimensions: 768, batch: 5_000 })
    expect(Buffer.compare(again.bytes, shard.bytes)).toBe(0)
  })

  it('may have no rows', async () => {
    const { bytes, receipt } = writeShard({ rows: 0, dimensions: 768 })
    expect(receipt.rows).toBe(0)
    expect(await duckdb.column(bytes, 'SELECT count(*) FROM FILE')).toEqual([0n])
    expect(readParquet(bytes).numBatches).toBe(0)
    expect((await checkShard(memoryStore({ key: bytes }), 'key')).receipt).toEqual(receipt)
  })
})

/** The pages of the vector column by its offset index, and the bytes at each indexed position. */
function pagesOf(file: Uint8Array, { row_groups }: FileMetaData) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  return row_groups.flatMap(({ columns }) => {
    const { offset_index_offset = 0n, meta_data } = columns[1] ?? {}
    const { page_locations } = readOffsetIndex({ view, offset: Number(offset_index_offset) })
    expect(page_locations[0]?.offset).toBe(meta_data?.data_page_offset)
    return page_locations.map(({ offset, compressed_page_size, first_row_index }) => {
      const reader = { view, offset: Number(offset) }
      const values: number = deserializeTCompactProtocol(reader).field_5.field_1
      // After the length of the levels: length of the first run, and its level.
      const firstLevel = [view.getUint8(reader.offset + 4) >> 1, view.getUint8(reader.offset + 5)]
      return { firstRow: first_row_index, values, firstLevel, bytes: compressed_page_size }
    })
  })
}
