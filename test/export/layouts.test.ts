// Every layout, opened by a reader of its consumer if one runs in Node: PostgreSQL with pgvector
// (PGlite), DuckDB, apache-arrow. Python readers are in python.test.ts.

import { PGlite } from '@electric-sql/pglite'
import { vector } from '@electric-sql/pglite-pgvector'
import { type ExportLayoutName, exportRun } from '@reembed/export'
import { type Quantization, toInt8, toUbinary } from '@reembed/shard'
import { tableFromIPC } from 'apache-arrow'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DuckDb, openDuckDb } from '../shard/duckdb.ts'
import { type MemoryStore, memoryStore } from '../shard/parts.ts'
import { type MadeRun, makeRun } from './run.ts'

const DIMENSIONS = 16
const source = memoryStore()
let run: MadeRun
let duckdb: DuckDb
beforeAll(async () => {
  run = await makeRun(source, { dimensions: DIMENSIONS })
  duckdb = await openDuckDb()
})
afterAll(() => duckdb[Symbol.asyncDispose]())

async function exported(
  layout: ExportLayoutName,
  quantize: Quantization[] = [],
  name?: string,
): Promise<MemoryStore> {
  const target = memoryStore()
  await exportRun(source, run.manifest, target, { layout, quantize, name })
  return target
}

/** The files in a folder, sorted by name. */
const filesOf = ({ objects }: MemoryStore, folder: string): [string, Uint8Array][] =>
  [...objects].filter(([key]) => key.startsWith(folder)).sort(([a], [b]) => (a < b ? -1 : 1))
const text = ({ objects }: MemoryStore, key: string): string => Buffer.from(objects.get(key) ?? []).toString()
const rowsOf = (vectors: Float32Array): Float32Array[] =>
  run.ids.map((_, row) => vectors.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS))
/** The extra columns of a row that are not null. */
const recordOf = (row: number): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(run.extra).flatMap(([name, values]) =>
      values[row] === null ? [] : [[name, values[row]]],
    ),
  )

describe('pgvector', () => {
  let postgres: PGlite
  beforeAll(async () => {
    postgres = await PGlite.create({ extensions: { vector } })
  })
  afterAll(() => postgres.close())

  it('loads exact values into PostgreSQL by schema.sql and COPY, and searches by its index', async () => {
    const target = await exported('pgvector')
    await postgres.exec(text(target, 'schema.sql'))
    for (const [, bytes] of filesOf(target, 'data/')) {
      const blob = new Blob([bytes.slice()])
      await postgres.query('COPY "embeddings" FROM \'/dev/blob\' WITH (FORMAT binary)', [], { blob })
    }
    await postgres.exec(text(target, 'index.sql'))
    const { rows } = await postgres.query<Record<string, unknown>>(
      'SELECT *, embedding::text AS vector FROM embeddings',
    )
    const byId = new Map(rows.map(row => [row.id, row]))
    expect(byId.size).toBe(run.ids.length)
    for (const [row, id] of run.ids.entries()) {
      const found = byId.get(id) ?? {}
      expect(Float32Array.from(JSON.parse(String(found.vector)))).toEqual(rowsOf(run.vectors)[row])
      for (const [name, values] of Object.entries(run.extra))
        expect(String(found[name])).toBe(String(values[row]))
    }
    const wanted = `[${rowsOf(run.vectors)[42]?.join(',')}]`
    const nearest = await postgres.query<{ id: string }>(
      'SELECT id FROM embeddings ORDER BY embedding <#> $1 LIMIT 1',
      [wanted],
    )
    expect(nearest.rows[0]?.id).toBe(run.ids[42])
  })

  it.each([
    ['normalised vectors', 16, true, '<#>', /Index Scan/],
    ['vectors of any length', 16, false, '<=>', /Index Scan/],
    ['more dimensions than an index over vector takes', 2_008, true, '<#>', /Index Scan/],
    ['more dimensions than any index takes', 4_008, true, '<#>', /Seq Scan/],
  ])(
    'gives a sample query that uses its index, for %s',
    async (_, dimensions, normalized, operator, scan) => {
      const store = memoryStore()
      const { manifest, ids } = await makeRun(store, { shards: 1, rows: 20, dimensions })
      const target = memoryStore()
      const model = { ...manifest.model, normalized }
      const name = `the "$1" table ${dimensions}${operator}`
      await exportRun(store, { ...manifest, model }, target, { layout: 'pgvector', name })
      await postgres.exec(text(target, 'schema.sql'))
      const [, bytes = new Uint8Array()] = filesOf(target, 'data/')[0] ?? []
      const blob = new Blob([bytes.slice()])
      const table = `"${name.replaceAll('"', '""')}"`
      await postgres.query(`COPY ${table} FROM '/dev/blob' WITH (FORMAT binary)`, [], { blob })
      await postgres.exec(text(target, 'index.sql'))
      await postgres.exec('SET enable_seqscan = off; SET enable_sort = off')
      const [, quoted = ''] = /^psql -c '(SELECT.*)'$/m.exec(text(target, 'LOAD.md')) ?? []
      const query = quoted.replaceAll("'\\''", "'")
      expect(query).toContain(` ${operator} `)
      const found = await postgres.query<{ id: string }>(query)
      expect(found.rows).toHaveLength(10)
      expect(ids).toContain(found.rows[0]?.id)
      const plan = await postgres.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${query}`)
      expect(plan.rows.map(row => row['QUERY PLAN']).join('\n')).toMatch(scan)
    },
  )
})

describe('Pinecone', () => {
  it('gets the columns id, values and metadata only, in a folder named after the namespace', async () => {
    const target = await exported('pinecone')
    const files = filesOf(target, 'data/')
    expect(files.map(([key]) => key)).toEqual(
      [0, 1, 2].map(i => `data/${run.manifest.run}/part-0000${i}-of-00003.parquet`),
    )
    let row = 0
    for (const [, bytes] of files) {
      const types = await duckdb.query(bytes, 'DESCRIBE SELECT * FROM FILE')
      expect(types.map(({ column_name, column_type }) => `${column_name} ${column_type}`)).toEqual([
        'id VARCHAR',
        'values FLOAT[]',
        'metadata VARCHAR',
      ])
      for (const found of await duckdb.query(
        bytes,
        'SELECT id, "values"::FLOAT[]::VARCHAR AS v, metadata FROM FILE',
      )) {
        expect(found.id).toBe(run.ids[row])
        // Not by JSON.parse, which rounds integers above 2^53.
        const wanted = recordOf(row)
        const metadata = String(found.metadata)
        if (typeof wanted.bytes === 'bigint') expect(metadata).toContain(`"bytes":${wanted.bytes},`)
        expect(JSON.parse(metadata)).toEqual({
          ...wanted,
          ...('bytes' in wanted && { bytes: Number(wanted.bytes) }),
        })
        row++
      }
    }
    expect(row).toBe(run.ids.length)
  })
})

describe('Milvus', () => {
  it('gets exactly the columns of fields.json, with vector types that its importer accepts', async () => {
    const target = await exported('milvus', ['int8', 'ubinary'])
    const { fields } = JSON.parse(text(target, 'fields.json'))
    expect(fields.slice(0, 4)).toEqual([
      { name: 'id', type: 'VARCHAR', max_length: 1024, is_primary: true },
      { name: 'embedding', type: 'FLOAT_VECTOR', dim: 16 },
      { name: 'embedding_int8', type: 'INT8_VECTOR', dim: 16 },
      { name: 'embedding_ubinary', type: 'BINARY_VECTOR', dim: 16 },
    ])
    const [, bytes = new Uint8Array()] = filesOf(target, 'data/')[0] ?? []
    const types = await duckdb.query(bytes, 'DESCRIBE SELECT * FROM FILE')
    expect(types.map(({ column_name }) => column_name)).toEqual(
      fields.map(({ name }: { name: string }) => name),
    )
    expect(types.map(({ column_type }) => column_type)).toEqual(
      'VARCHAR FLOAT[] TINYINT[] UTINYINT[] VARCHAR INTEGER BIGINT DOUBLE BOOLEAN VARCHAR'.split(' '),
    )
  })

  it('gives an import command that names every file of the export', async () => {
    const target = await exported('milvus')
    const [, before = '', after = '', shards] =
      /f"(.*)\{shard:05\}(.*)"\] for shard in range\((\d+)\)/.exec(text(target, 'LOAD.md')) ?? []
    const named = Array.from(
      { length: Number(shards) },
      (_, shard) => `${before}${String(shard).padStart(5, '0')}${after}`,
    )
    expect(named).toEqual(filesOf(target, 'data/').map(([key]) => key))
  })
})

describe('NumPy', () => {
  it('gives a command for the matrices of each type, and explains the quantized values', async () => {
    const target = await exported('npy', ['int8', 'ubinary'])
    const page = text(target, 'LOAD.md')
    const globs = Array.from(page.matchAll(/memory\/(\w+)"\) \+ "\/\*\.npy/g), ([, folder]) => folder)
    const folders = new Set(
      [...target.objects.keys()].filter(key => key.endsWith('.npy')).map(key => key.split('/')[0]),
    )
    expect(globs).toEqual(['embeddings', 'embeddings_int8', 'embeddings_ubinary'])
    expect(new Set(globs)).toEqual(folders)
    expect(page).toMatch(/^- Folder `embeddings_int8\/`: one byte .*reembed-export\.json/m)
    expect(page).toMatch(/^- Folder `embeddings_ubinary\/`: one bit /m)
  })
})

describe('a carried column with a path as its name', () => {
  it('gets an identifier as its name if the consumer requires one, and keeps its values', async () => {
    const store = memoryStore()
    const { manifest, extra } = await makeRun(store, { shards: 1, rows: 20, more: ['meta.url'] })
    for (const layout of ['milvus', 'lance', 'hf'] as const) {
      const target = memoryStore()
      await exportRun(store, manifest, target, { layout })
      const [, bytes = new Uint8Array()] = filesOf(target, 'data/')[0] ?? []
      const name = layout === 'hf' ? '"meta.url"' : 'meta_url'
      expect(await duckdb.column(bytes, `SELECT ${name} FROM FILE`)).toEqual(extra['meta.url'])
    }
    const vespa = memoryStore()
    await exportRun(store, manifest, vespa, { layout: 'vespa' })
    expect(text(vespa, 'schemas/embeddings.sd')).toContain('field meta_url type string')
    expect(text(vespa, 'data/part-00000-of-00001.jsonl')).toContain('"meta_url":"https://a.b/7"')

    const twice = { ...manifest, layout: { carry: [{ name: 'a.b' }, { name: 'a_b' }] as never } }
    await expect(exportRun(store, twice, vespa, { layout: 'vespa' })).rejects.toThrow(
      "two columns would both be named 'a_b'",
    )
  })

  it.each([
    ['elasticsearch', '__proto__'],
    ['pinecone', '__proto__'],
    ['vespa', '__proto__'],
    ['vespa', '--proto--'],
  ] as const)('is a member of the JSON for %s, also if named %s', async (layout, name) => {
    const store = memoryStore()
    const { manifest } = await makeRun(store, { shards: 1, rows: 5, more: [name] })
    const target = memoryStore()
    await exportRun(store, manifest, target, { layout })
    const [, bytes = new Uint8Array()] = filesOf(target, 'data/')[0] ?? []
    const json =
      layout === 'pinecone'
        ? (await duckdb.column(bytes, 'SELECT metadata FROM FILE')).join()
        : Buffer.from(bytes).toString()
    expect(json.match(/"__proto__":"[^"]*"/g)).toEqual(
      [0, 1, 2, 3, 4].map(row => `"__proto__":"https://a.b/${row}"`),
    )
  })

  it('or a name that the consumer refuses leaves nothing in the target', async () => {
    const target = memoryStore()
    const wish = { layout: 'vespa', name: 'my-docs' } as const
    await expect(exportRun(source, run.manifest, target, wish)).rejects.toThrow('is not a valid Vespa name')
    expect(target.objects.size).toBe(0)
  })
})

describe('quantized vectors', () => {
  it('are computed from the recorded ranges and stored in addition to float32 vectors', async () => {
    const target = await exported('hf', ['int8', 'ubinary'])
    const { ranges } = JSON.parse(text(target, 'reembed-export.json'))
    const found = { min: Float32Array.from(ranges.min), max: Float32Array.from(ranges.max) }
    const columns = {
      embedding: [] as number[],
      embedding_int8: [] as number[],
      embedding_ubinary: [] as number[],
    }
    for (const [, bytes] of filesOf(target, 'data/')) {
      for (const [name, values] of Object.entries(columns)) {
        for (const value of await duckdb.column(bytes, `SELECT unnest(${name}) FROM FILE`))
          values.push(Number(value))
      }
    }
    expect(Float32Array.from(columns.embedding)).toEqual(run.vectors)
    expect(Int8Array.from(columns.embedding_int8)).toEqual(toInt8(run.vectors, found))
    expect(Uint8Array.from(columns.embedding_ubinary)).toEqual(toUbinary(run.vectors))
    for (const dimension of [0, 15]) {
      const values = rowsOf(run.vectors).map(vector => vector[dimension] ?? 0)
      expect([found.min[dimension], found.max[dimension]]).toEqual([Math.min(...values), Math.max(...values)])
    }
  })

  it('are refused if the layout cannot store them', async () => {
    await expect(exported('vespa', ['int8'])).rejects.toThrow(
      'the layout vespa cannot store int8 vectors: use hf, milvus',
    )
  })
})

describe('Arrow', () => {
  it('files contain vectors as fixed-size lists and every column with its nulls', async () => {
    const target = await exported('arrow', ['int8', 'ubinary'])
    let row = 0
    for (const [, bytes] of filesOf(target, 'data/')) {
      const table = tableFromIPC(bytes)
      expect(table.schema.fields.slice(0, 4).map(({ type }) => String(type))).toEqual([
        'Utf8',
        'FixedSizeList[16]<Float32>',
        'FixedSizeList[16]<Int8>',
        'FixedSizeList[2]<Uint8>',
      ])
      expect(table.schema.metadata.get('reembed.run_id')).toBe(run.manifest.run)
      for (let i = 0; i < table.numRows; i++, row++) {
        expect(table.getChild('id')?.get(i)).toBe(run.ids[row])
        expect(table.getChild('embedding')?.get(i).toArray()).toEqual(rowsOf(run.vectors)[row])
        for (const [name, values] of Object.entries(run.extra)) {
          expect(String(table.getChild(name)?.get(i))).toBe(String(values[row]))
        }
      }
    }
    expect(row).toBe(run.ids.length)
  })
})

describe('Pinecone documents', () => {
  it('are JSON lines with _id, exact vector and fields, in a folder named after the namespace', async () => {
    const target = await exported('pinecone-documents')
    const files = filesOf(target, 'data/')
    expect(files.map(([key]) => key)).toEqual(
      [0, 1, 2].map(i => `data/${run.manifest.run}/part-0000${i}-of-00003.jsonl`),
    )
    const lines = files.flatMap(([, bytes]) => Buffer.from(bytes).toString().trimEnd().split('\n'))
    expect(lines).toHaveLength(run.ids.length)
    for (const [row, id] of run.ids.entries()) {
      const { _id, embedding, ...fields } = JSON.parse(lines[row] ?? '')
      expect(_id).toBe(id)
      expect(Float32Array.from(embedding)).toEqual(rowsOf(run.vectors)[row])
      expect(fields.lang ?? null).toBe(run.extra.lang?.[row])
    }
    expect(JSON.parse(text(target, 'schema.json')).fields).toMatchObject({
      embedding: { type: 'dense_vector', dimension: 16 },
      text: { type: 'string', full_text_search: {} },
    })
  })
})

describe('Elasticsearch', () => {
  it('gets bulk bodies that restore every float32 exactly, and a mapping', async () => {
    const target = await exported('elasticsearch', [], 'wiki')
    const { mappings } = JSON.parse(text(target, 'mapping.json'))
    expect(mappings.properties.embedding).toEqual({
      type: 'dense_vector',
      dims: 16,
      index: true,
      similarity: 'cosine',
    })
    const lines = filesOf(target, 'data/').flatMap(([, bytes]) => {
      const body = Buffer.from(bytes).toString()
      expect(body.endsWith('\n')).toBe(true)
      return body.slice(0, -1).split('\n')
    })
    expect(lines).toHaveLength(2 * run.ids.length)
    for (const [row, id] of run.ids.entries()) {
      expect(JSON.parse(lines[2 * row] ?? '')).toEqual({ index: { _id: id } })
      const { embedding, text, lang } = JSON.parse(lines[2 * row + 1] ?? '')
      expect(Float32Array.from(embedding)).toEqual(rowsOf(run.vectors)[row])
      expect(text).toBe(run.extra.text?.[row])
      expect(lang ?? null).toBe(run.extra.lang?.[row])
    }
  })

  it('of version 9.3 gets vectors as base64 of big-endian floats, bit by bit', async () => {
    const target = await exported('elasticsearch-base64')
    const lines = filesOf(target, 'data/').flatMap(([, bytes]) =>
      Buffer.from(bytes).toString().trimEnd().split('\n'),
    )
    expect(lines).toHaveLength(2 * run.ids.length)
    for (const row of run.ids.keys()) {
      const bytes = Buffer.from(JSON.parse(lines[2 * row + 1] ?? '').embedding, 'base64')
      const vector = Float32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatBE(4 * i))
      expect(vector).toEqual(rowsOf(run.vectors)[row])
    }
  })

  it('gets a shard split into bodies of about 10 MiB, one per request', async () => {
    const store = memoryStore()
    const { manifest, ids } = await makeRun(store, { shards: 1, rows: 700, dimensions: 1_536 })
    const target = memoryStore()
    await exportRun(store, manifest, target, { layout: 'elasticsearch' })
    const files = filesOf(target, 'data/')
    expect(files.map(([key]) => key)).toEqual([
      'data/part-00000-of-00001-0000.ndjson',
      'data/part-00000-of-00001-0001.ndjson',
    ])
    for (const [, bytes] of files) expect(bytes.length).toBeLessThan(12 * 2 ** 20)
    const lines = files.reduce(
      (sum, [, bytes]) => sum + Buffer.from(bytes).toString().split('\n').length - 1,
      0,
    )
    expect(lines).toBe(2 * ids.length)
  })
})

describe('Vespa', () => {
  it('gets put operations with exact tensors in hexadecimal, and a schema', async () => {
    const target = await exported('vespa', [], 'wiki')
    expect(text(target, 'schemas/wiki.sd')).toContain('field embedding type tensor<float>(x[16])')
    const lines = filesOf(target, 'data/').flatMap(([, bytes]) =>
      Buffer.from(bytes).toString().trimEnd().split('\n'),
    )
    expect(lines).toHaveLength(run.ids.length)
    for (const [row, line] of lines.entries()) {
      const { put, fields } = JSON.parse(line)
      expect(put).toBe(`id:wiki:wiki::${run.ids[row]}`)
      const bytes = Buffer.from(fields.embedding.values, 'hex').swap32()
      expect(new Float32Array(bytes.buffer, bytes.byteOffset, DIMENSIONS)).toEqual(rowsOf(run.vectors)[row])
      expect(fields.text).toBe(run.extra.text?.[row])
    }
    await expect(exported('vespa', [], 'my-docs')).rejects.toThrow("'my-docs' is not a valid Vespa name")
  })
})
