// The columns of a shard besides id, vector and hash, read by DuckDB, arrow-rs and hyparquet.

import { zstdDecompressSync } from 'node:zlib'
import type { CarriedType, CarriedValue } from '@reembed/protocol'
import {
  arrowSchemaOf,
  checkShard,
  createShardBuffer,
  createShardWriter,
  extraColumns,
  extraValues,
  type FlatColumn,
  readShard,
  truncateVectors,
  vectorColumns,
} from '@reembed/shard'
import { tableFromIPC } from 'apache-arrow'
import fc from 'fast-check'
import { parquetReadObjects } from 'hyparquet'
import { readParquet } from 'parquet-wasm'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DuckDb, openDuckDb } from './duckdb.ts'
import { factsOf, makeRows, memoryStore } from './parts.ts'

// The same examples in each run.
fc.configureGlobal({ seed: 1 })

let duckdb: DuckDb
beforeAll(async () => {
  duckdb = await openDuckDb()
})
afterAll(() => duckdb[Symbol.asyncDispose]())

interface Made {
  readonly extra: readonly FlatColumn[]
  readonly values: readonly (readonly CarriedValue[])[]
  readonly rows: number
  readonly rowGroupRows?: number
}

function write({ extra, values, rows, rowGroupRows }: Made): Uint8Array {
  const { sink, bytes } = createShardBuffer()
  const writer = createShardWriter({ dimensions: 3, extra, sink, rowGroupRows })
  const made = makeRows({ rows, dimensions: 3 })
  for (let from = 0; from < rows; from += 7) {
    writer.append({
      ids: made.ids.slice(from, from + 7),
      hashes: made.hashes.subarray(from * 16, (from + 7) * 16),
      vectors: made.vectors.subarray(from * 3, (from + 7) * 3),
      extra: values.map(column => column.slice(from, from + 7)),
    })
  }
  writer.finish(factsOf(rows, 3))
  return bytes()
}

/** The expected value of every reader. Readers return an int64 as a number or as a bigint. */
const plain = (value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value)
const plainInt64 = (type: CarriedType, value: unknown): unknown =>
  type === 'int64' && value !== null ? String(value) : plain(value)

const VALUES: Record<CarriedType, fc.Arbitrary<CarriedValue>> = {
  string: fc.string({ unit: 'binary', maxLength: 20 }),
  int32: fc.integer(),
  int64: fc.oneof(fc.maxSafeInteger(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  double: fc.double({ noNaN: true }),
  boolean: fc.boolean(),
}

const made: fc.Arbitrary<Made> = fc.integer({ min: 0, max: 60 }).chain(rows =>
  fc.record({
    rows: fc.constant(rows),
    rowGroupRows: fc.constantFrom(9, 1_000),
    extra: fc.constant(
      (Object.keys(VALUES) as CarriedType[]).map(
        (type): FlatColumn => ({ kind: 'flat', name: `a ${type}`, type, nullable: true }),
      ),
    ),
    values: fc.tuple(
      ...Object.values(VALUES).map(value =>
        // No nulls, only nulls, and any mixture.
        fc.constantFrom(0, 1, 3).chain(nulls =>
          fc.array(
            nulls === 0 ? value : nulls === 1 ? fc.constant(null) : fc.option(value, { freq: nulls }),
            {
              minLength: rows,
              maxLength: rows,
            },
          ),
        ),
      ),
    ),
  }),
)

describe('carried columns', () => {
  it('are read back unchanged by arrow-rs, hyparquet and reembed, with any nulls', async () => {
    await fc.assert(
      fc.asyncProperty(made, async shard => {
        const bytes = write(shard)
        const wanted = shard.extra.map(({ type }, i) =>
          shard.values[i]?.map(value => plainInt64(type, value)),
        )

        const ours: unknown[][] = shard.extra.map(() => [])
        for await (const { extra } of readShard(memoryStore({ key: bytes }), 'key', { extra: true })) {
          for (const [i, { name, type }] of shard.extra.entries()) {
            for (const value of extra.get(name) ?? []) ours[i]?.push(plainInt64(type, value))
          }
        }
        expect(ours).toEqual(wanted)
        if (shard.rows === 0) return

        const table = tableFromIPC(readParquet(bytes).intoIPCStream())
        const rows = await parquetReadObjects({
          file: bytes.slice().buffer,
          compressors: { ZSTD: input => zstdDecompressSync(input) },
        })
        for (const [i, { name, type }] of shard.extra.entries()) {
          const column = table.getChild(name)
          expect(Array.from({ length: shard.rows }, (_, row) => plainInt64(type, column?.get(row)))).toEqual(
            wanted[i],
          )
          expect(rows.map(row => plainInt64(type, row[name] ?? null))).toEqual(wanted[i])
        }
      }),
      { numRuns: 60 },
    )
  })

  it('have their types, nulls and bounds in DuckDB, and can be filtered', async () => {
    const values = [
      ['b', null, 'ä', 'a'],
      [3, -4, null, 5],
      [2n ** 60n, -1, 0, null],
      [1.5, null, -0, 2],
      [true, false, null, true],
    ]
    const extra = ['string', 'int32', 'int64', 'double', 'boolean'].map(
      (type): FlatColumn => ({ kind: 'flat', name: type, type: type as CarriedType, nullable: true }),
    )
    const bytes = write({ extra, values, rows: 4 })
    const types = await duckdb.query(
      bytes,
      'DESCRIBE SELECT * EXCLUDE (id, embedding, content_hash) FROM FILE',
    )
    expect(types.map(({ column_type }) => column_type)).toEqual([
      'VARCHAR',
      'INTEGER',
      'BIGINT',
      'DOUBLE',
      'BOOLEAN',
    ])
    expect(
      await duckdb.column(bytes, 'SELECT "int64" FROM FILE WHERE "string" >= \'b\' ORDER BY "int64"'),
    ).toEqual([0n, 2n ** 60n])
    const statistics = await duckdb.query(
      bytes,
      'SELECT stats_null_count AS nulls, stats_min_value AS min, stats_max_value AS max FROM parquet_metadata(FILE) OFFSET 3',
    )
    expect(statistics.map(({ nulls, min, max }) => [nulls, min, max])).toEqual([
      [1n, 'a', 'ä'],
      [1n, '-4', '5'],
      [1n, '-1', '1152921504606846976'],
      [1n, '-0.0', '2.0'],
      [1n, 'false', 'true'],
    ])
  })

  it('refuse values that they cannot hold, with column and document', () => {
    const column = (type: CarriedType): FlatColumn => ({ kind: 'flat', name: 'n', type, nullable: true })
    const one = (type: CarriedType, value: CarriedValue) => () =>
      write({ extra: [column(type)], values: [[value]], rows: 1 })
    expect(one('int32', 2 ** 31)).toThrow('the value of n (int32) of "doc-0-" does not fit 32 bits')
    expect(one('int64', 2 ** 53)).toThrow('is not an exact integer')
    expect(one('int64', 2n ** 63n)).toThrow('does not fit 64 bits')
    expect(one('double', '1')).toThrow('is a string')
    expect(one('string', '\ud800')).toThrow('contains an unpaired surrogate')
    expect(() => extraColumns({ carry: [{ name: 'id', type: 'string' }] })).toThrow(
      "two columns of the shards would be named 'id'",
    )
    expect(() => extraColumns({ carry: [{ name: 'text', type: 'string' }], text: true })).toThrow(
      "named 'text'",
    )
  })
})

describe('chunks and texts', () => {
  it('have their origin in chunk columns', async () => {
    const layout = { chunked: true, text: true, carry: [{ name: 'lang', type: 'string' }] } as const
    const position = { part: 0, offset: 0 }
    const documents = [
      {
        kind: 'document',
        id: 'a#1',
        text: 'Second.',
        position,
        carried: { lang: 'en' },
        chunk: { docId: 'a', index: 1, charStart: 7, charEnd: 14, headings: ['Top', 'Sub'] },
      },
      { kind: 'document', id: 'b', text: 'Whole.', position },
    ] as const
    const bytes = write({ extra: extraColumns(layout), values: extraValues(documents, layout), rows: 2 })
    expect(await duckdb.query(bytes, 'SELECT * EXCLUDE (id, embedding, content_hash) FROM FILE')).toEqual([
      {
        doc_id: 'a',
        chunk_index: 1,
        char_start: 7,
        char_end: 14,
        heading_path: 'Top > Sub',
        lang: 'en',
        text: 'Second.',
      },
      {
        doc_id: 'b',
        chunk_index: 0,
        char_start: 0,
        char_end: 6,
        heading_path: null,
        lang: null,
        text: 'Whole.',
      },
    ])
    const ids: string[] = []
    const store = memoryStore({ key: bytes })
    for await (const batch of readShard(store, 'key')) ids.push(...batch.ids)
    expect(ids).toHaveLength(2)
    expect((await checkShard(store, 'key')).receipt.rows).toBe(2)
  })
})

describe('vectors', () => {
  it.each([1, 7, 384])(
    'of float16 are rounded once and read alike by everybody, %i dimensions',
    async dimensions => {
      const { ids, hashes, vectors } = makeRows({ rows: 50, dimensions })
      const { sink, bytes } = createShardBuffer()
      const writer = createShardWriter({ dimensions, dtype: 'float16', sink })
      writer.append({ ids, hashes, vectors })
      writer.finish(factsOf(50, dimensions))
      const wanted = Float32Array.from(new Float16Array(vectors))
      for await (const batch of readShard(memoryStore({ key: bytes() }), 'key'))
        expect(batch.vectors).toEqual(wanted)
      const inDuckDb = (await duckdb.column(bytes(), 'SELECT unnest(embedding) FROM FILE')) as number[]
      expect(Float32Array.from(inDuckDb)).toEqual(wanted)
      const rows = await parquetReadObjects({
        file: bytes().slice().buffer,
        compressors: { ZSTD: input => zstdDecompressSync(input) },
      })
      expect(Float32Array.from(rows.flatMap(row => [...row.embedding]))).toEqual(wanted)
    },
  )

  it('are fixed-size lists for Arrow with the schema hint, and the same bytes without', async () => {
    const { ids, hashes, vectors } = makeRows({ rows: 10, dimensions: 9 })
    const { sink, bytes } = createShardBuffer()
    const arrowSchema = await arrowSchemaOf(vectorColumns(9, 'float32'))
    const writer = createShardWriter({ dimensions: 9, arrowSchema, sink })
    writer.append({ ids, hashes, vectors })
    writer.finish(factsOf(10, 9))
    const table = tableFromIPC(readParquet(bytes()).intoIPCStream())
    expect(String(table.schema.fields[1]?.type)).toBe('FixedSizeList[9]<Float32>')
    expect(table.getChild('embedding')?.get(3).toArray()).toEqual(vectors.subarray(27, 36))
    expect(await duckdb.column(bytes(), 'SELECT typeof(embedding) FROM FILE LIMIT 1')).toEqual(['FLOAT[]'])
  })

  it('keep their first dimensions and have norm 1 after truncation', () => {
    const model = { dimensions: 2, normalized: true }
    const cut = truncateVectors(Float32Array.of(0.3, 0.4, 0.5, 0, -1, 7), { model, nativeDimensions: 3 })
    expect([...cut].map(value => Number(value.toFixed(6)))).toEqual([0.6, 0.8, 0, -1])
    const raw = truncateVectors(Float32Array.of(3, 4, 5), {
      model: { dimensions: 2, normalized: false },
      nativeDimensions: 3,
    })
    expect([...raw]).toEqual([3, 4])
    const whole = Float32Array.of(1, 0)
    expect(truncateVectors(whole, { model })).toBe(whole)
  })
})
