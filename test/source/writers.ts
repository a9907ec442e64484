// The same documents in every supported format, written by independent programs: DuckDB, node:zlib
// and apache-arrow. Only the bgzip container is written here, because no package writes it.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { constants, crc32, deflateRawSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { DuckDBInstance } from '@duckdb/node-api'
import { Int32, Table, tableFromJSON, tableToIPC, Utf8, vectorFromArray } from 'apache-arrow'

export interface Written {
  readonly id: string
  readonly text: string
  readonly lang: string | null
  readonly year: number
}

const WORDS = 'the of and größe naïve œuvre 東京 данные 🦉 "quoted" comma, semi; tab\tnew\nline vector'.split(
  ' ',
)

/** Texts with characters that formats treat specially. The same count gives the same texts. */
export function writtenDocuments(count: number): Written[] {
  let seed = 7
  const next = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return (seed >> 8) % below
  }
  return Array.from({ length: count }, (_, i) => ({
    id: `doc-${i}`,
    text: Array.from({ length: 1 + next(40) }, () => WORDS[next(WORDS.length)]).join(' '),
    lang: next(3) === 0 ? null : (['en', 'fr'][next(2)] ?? null),
    year: 1990 + next(40),
  }))
}

/** Every format and compression by the name of its file. */
export async function writeFormats(documents: readonly Written[]): Promise<Map<string, Uint8Array>> {
  const lines = documents.map(document => `${JSON.stringify(document)}\n`)
  const plain = Buffer.from(lines.join(''))
  const csv = Buffer.from(table(documents, ','))
  const files = new Map<string, Uint8Array>([
    ['plain.jsonl', plain],
    ['one.jsonl.gz', gzipSync(plain)],
    ['members.jsonl.gz', Buffer.concat(pieces(plain, 70_000).map(piece => gzipSync(piece)))],
    ['blocks.jsonl.gz', bgzip(plain)],
    ['one.jsonl.zst', zstd(plain)],
    ['frames.jsonl.zst', Buffer.concat(pieces(plain, 50_000).map(zstd))],
    ['plain.csv', csv],
    ['packed.csv.gz', gzipSync(csv)],
    ['frames.csv.zst', Buffer.concat(pieces(csv, 50_000).map(zstd))],
    ['windows.csv', Buffer.from(`\uFEFF${table(documents, ';', '\r\n')}`)],
    ['tabs.tsv', Buffer.from(table(documents, '\t'))],
    ...(await parquetFiles(plain)),
  ])
  const batches = 7
  const arrow = tableFromJSON(documents.map(document => ({ ...document })))
  const cut = Math.ceil(documents.length / batches)
  const batched = Array.from({ length: batches }, (_, i) =>
    plainTable(documents.slice(i * cut, (i + 1) * cut)),
  )
  files.set('one.arrow', tableToIPC(arrow, 'file'))
  files.set('stream.arrow', tableToIPC(arrow, 'stream'))
  files.set('batches.arrow', concatStreams(batched.map(one => Buffer.from(tableToIPC(one, 'stream')))))
  return files
}

/** Plain texts, as most writers make them. tableFromJSON would make dictionaries. */
const plainTable = (documents: readonly Written[]): Table =>
  new Table({
    id: vectorFromArray(
      documents.map(({ id }) => id),
      new Utf8(),
    ),
    text: vectorFromArray(
      documents.map(({ text }) => text),
      new Utf8(),
    ),
    lang: vectorFromArray(
      documents.map(({ lang }) => lang),
      new Utf8(),
    ),
    year: vectorFromArray(
      documents.map(({ year }) => year),
      new Int32(),
    ),
  })

async function parquetFiles(plain: Buffer): Promise<[string, Uint8Array][]> {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-formats-'))
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    const source = join(folder, 'source.jsonl')
    await writeFile(source, plain)
    await connection.run(
      `CREATE TABLE documents AS SELECT id, text, lang, year::INTEGER AS year, {'title': text, 'n': year} AS meta
       FROM read_json('${source}', format = 'newline_delimited', maximum_object_size = 10000000)`,
    )
    const files: [string, Uint8Array][] = []
    for (const [name, options] of [
      ['plain.parquet', 'COMPRESSION uncompressed, ROW_GROUP_SIZE 2048'],
      ['snappy.parquet', 'COMPRESSION snappy, ROW_GROUP_SIZE 1000000'],
      ['gzip.parquet', 'COMPRESSION gzip, ROW_GROUP_SIZE 2048'],
      ['zstd.parquet', 'COMPRESSION zstd, ROW_GROUP_SIZE 4096'],
      ['brotli.parquet', 'COMPRESSION brotli, ROW_GROUP_SIZE 4096'],
      ['lz4.parquet', 'COMPRESSION lz4_raw, ROW_GROUP_SIZE 4096'],
      ['v2.parquet', 'COMPRESSION zstd, PARQUET_VERSION v2, ROW_GROUP_SIZE 4096'],
    ]) {
      const file = join(folder, name ?? '')
      await connection.run(`COPY documents TO '${file}' (FORMAT parquet, ${options})`)
      files.push([name ?? '', await readFile(file)])
    }
    return files
  } finally {
    connection.closeSync()
    instance.closeSync()
    await rm(folder, { recursive: true })
  }
}

const quote = (value: string | number | null): string => `"${String(value ?? '').replaceAll('"', '""')}"`

/** The year is unquoted, as spreadsheets write numbers. The file ends with a blank line. */
const table = (documents: readonly Written[], delimiter: string, newline = '\n'): string =>
  `${[
    ['id', 'text', 'lang', 'year'].join(delimiter),
    ...documents.map(({ id, text, lang, year }) => [id, quote(text), quote(lang), year].join(delimiter)),
  ].join(newline)}${newline}${newline}`

const pieces = (bytes: Buffer, length: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / length) }, (_, i) =>
    bytes.subarray(i * length, (i + 1) * length),
  )

const zstd = (bytes: Buffer): Buffer =>
  zstdCompressSync(bytes, { params: { [constants.ZSTD_c_checksumFlag]: 1 } })

/**
 * SAM specification 4.1: members of at most 64 KiB whose header states their length, and an empty
 * one at the end.
 */
export function bgzip(bytes: Buffer): Buffer {
  return Buffer.concat(
    [...pieces(bytes, 65_280), Buffer.alloc(0)].map(piece => {
      const body = deflateRawSync(piece)
      const head = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, 0x42, 0x43, 2, 0, 0, 0])
      head.writeUInt16LE(head.length + body.length + 8 - 1, 16)
      const tail = Buffer.alloc(8)
      tail.writeUInt32LE(crc32(piece))
      tail.writeUInt32LE(piece.length, 4)
      return Buffer.concat([head, body, tail])
    }),
  )
}

const END = Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])

/**
 * Streams of one schema as one stream of several batches: the schemas of the later ones are
 * omitted.
 */
function concatStreams(streams: readonly Buffer[]): Buffer {
  return Buffer.concat([
    ...streams.map((stream, i) => {
      const body = stream.subarray(0, stream.length - END.length)
      return i === 0 ? body : body.subarray(8 + body.readInt32LE(4))
    }),
    END,
  ])
}
