// Parquet: footer, page headers, levels, dictionaries, every codec and the delta encodings. Each
// row of the footer is a record or a reject, or the object is refused.

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createParquetWriter } from '@reembed/shard'
import { readTable } from '../tables.ts'
import { choicesOf, must, type Target } from '../target.ts'

const HEAD = Buffer.from([255, 90])
const ROWS = 9

/** DuckDB's own: dictionaries, plain pages, version 2 with delta encodings, every codec. */
async function byDuckdb(): Promise<Buffer[]> {
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const folder = await mkdtemp(join(tmpdir(), 'reembed-fuzz-'))
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    const files: Buffer[] = []
    const wide = `SELECT i::VARCHAR AS id, 'text ' || (i % 3) AS text, i AS n, i % 2 = 0 AS flag, i / 3 AS x,
      CASE WHEN i % 4 = 0 THEN NULL ELSE {'lang': 'l' || (i % 2)} END AS meta FROM range(${ROWS}) r(i)`
    const narrow = `SELECT i::VARCHAR AS id, repeat('text ', (i % 3)::INT) AS text FROM range(${ROWS}) r(i)`
    for (const [select, options] of [
      [wide, 'COMPRESSION uncompressed'],
      [narrow, 'COMPRESSION uncompressed, ROW_GROUP_SIZE 4'],
      [narrow, 'COMPRESSION uncompressed, PARQUET_VERSION v2, DICTIONARY_SIZE_LIMIT 1'],
      [wide, 'COMPRESSION zstd, PARQUET_VERSION v2, DICTIONARY_SIZE_LIMIT 1'],
      [narrow, 'COMPRESSION snappy'],
      [narrow, 'COMPRESSION gzip'],
      [narrow, 'COMPRESSION brotli'],
      [narrow, 'COMPRESSION lz4_raw'],
    ]) {
      const file = join(folder, `${files.length}.parquet`)
      await connection.run(`COPY (${select}) TO '${file}' (FORMAT parquet, ${options})`)
      files.push(await readFile(file))
    }
    return files
  } finally {
    connection.closeSync()
    instance.closeSync()
    await rm(folder, { recursive: true })
  }
}

function byOurs(): Buffer {
  const pieces: Buffer[] = []
  const writer = createParquetWriter({
    columns: [
      { kind: 'flat', name: 'id', type: 'string', nullable: false },
      { kind: 'flat', name: 'text', type: 'string', nullable: true },
      { kind: 'flat', name: 'n', type: 'int64', nullable: true },
    ],
    rowGroupRows: 4,
    sink: bytes => pieces.push(Buffer.from(bytes)),
  })
  const rows = Array.from({ length: ROWS }, (_, i) => i)
  writer.append(rows.length, [
    rows.map(String),
    rows.map(i => (i % 4 === 0 ? null : `text ${i}`)),
    rows.map(i => (i % 3 === 0 ? null : i)),
  ])
  writer.finish([])
  return Buffer.concat(pieces)
}

let seeds: Promise<Buffer[]> | undefined

export const target: Target = {
  what: 'Parquet: footers, pages, levels, encodings, codecs',
  maxBytes: 6_000,
  maxMiB: 400,
  seeds() {
    seeds ??= byDuckdb().then(files => [...files, byOurs()].map(file => Buffer.concat([HEAD, file])))
    return seeds
  },
  async check(input) {
    const records = await readTable('parquet', choicesOf(input, 2))
    const isSeed = (await seeds)?.some(seed => seed.equals(input))
    if (isSeed) must(records?.length === ROWS, () => `a good file gave ${records?.length} of ${ROWS} records`)
  },
}
