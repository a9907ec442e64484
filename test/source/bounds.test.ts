// Objects of a few hundred bytes that claim to be huge are refused before memory is allocated.

import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { readSlice } from '@reembed/corpus'
import { indexObject, objectEncodingOf } from '@reembed/formats'
import { decodeFlat, decodeStrings, decodeVectors } from '@reembed/shard'
import { openStore, type Store } from '@reembed/store'
import { tableFromArrays, tableToIPC } from 'apache-arrow'
import type { ColumnMetaData, FileMetaData } from 'hyparquet'
import { ByteWriter } from 'hyparquet-writer/src/bytewriter.js'
import { writePageHeader } from 'hyparquet-writer/src/datapage.js'
import { writeMetadata } from 'hyparquet-writer/src/metadata.js'
import { afterAll, beforeAll, expect, test } from 'vitest'

type Header = Parameters<typeof writePageHeader>[1]
type Page = { readonly header: Partial<Header>; readonly body: Uint8Array }

let folder: string
let store: Store
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-bounds-'))
  store = await openStore(folder)
})
afterAll(async () => {
  await store[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

const MANY = 2_000_000_000
const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))]
/** A run of equal values in Parquet's encoding: `length` times `value`. */
const run = (length: number, ...value: number[]): number[] => [...varint(length * 2), ...value]
const u32 = (value: number): number[] => [value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24]
const text = (value: string): number[] => [...u32(value.length), ...Buffer.from(value)]
/**
 * A delta-encoded block of equal differences: the first value, then values that grow by a constant.
 */
const delta = (count: number, first: number, step: number): number[] => [
  ...[128, 4].flatMap(varint),
  ...varint(count),
  ...varint(2 * first),
  ...Array.from({ length: Math.ceil((count - 1) / 128) }, () => [...varint(2 * step), 0, 0, 0, 0]).flat(),
]

function pageBytes({ header, body }: Page): Uint8Array {
  const writer = new ByteWriter()
  writePageHeader(writer, {
    type: 'DATA_PAGE',
    uncompressed_page_size: body.length,
    compressed_page_size: body.length,
    ...header,
  } as Header)
  return Buffer.concat([writer.getBytes(), body])
}

const v1 = (values: number, encoding: string, body: number[]): Page => ({
  header: {
    data_page_header: {
      num_values: values,
      encoding,
      definition_level_encoding: 'RLE',
      repetition_level_encoding: 'RLE',
    },
  } as Partial<Header>,
  body: Uint8Array.from(body),
})
const v2 = (values: number, encoding: string, body: number[], levels = 0): Page => ({
  header: {
    type: 'DATA_PAGE_V2',
    data_page_header_v2: {
      num_values: values,
      num_nulls: 0,
      num_rows: values,
      encoding,
      definition_levels_byte_length: levels,
      repetition_levels_byte_length: 0,
      is_compressed: false,
    },
  } as Partial<Header>,
  body: Uint8Array.from(body),
})
const dictionary = (values: number, body: number[]): Page => ({
  header: {
    type: 'DICTIONARY_PAGE',
    dictionary_page_header: { num_values: values, encoding: 'PLAIN' },
  } as Partial<Header>,
  body: Uint8Array.from(body),
})

/** A file with one column of texts, `id`. */
function parquet(rows: number, pages: readonly Page[], optional = false): Uint8Array {
  const body = Buffer.concat([Buffer.from('PAR1'), ...pages.map(pageBytes)])
  const size = BigInt(body.length - 4)
  const meta_data: ColumnMetaData = {
    type: 'BYTE_ARRAY',
    encodings: ['PLAIN'],
    path_in_schema: ['id'],
    codec: 'UNCOMPRESSED',
    num_values: BigInt(rows),
    total_uncompressed_size: size,
    total_compressed_size: size,
    data_page_offset: 4n,
  }
  const metadata: FileMetaData = {
    version: 2,
    schema: [
      { name: 'root', num_children: 1 },
      {
        name: 'id',
        type: 'BYTE_ARRAY',
        converted_type: 'UTF8',
        repetition_type: optional ? 'OPTIONAL' : 'REQUIRED',
      },
    ],
    num_rows: BigInt(rows),
    row_groups: [
      { columns: [{ file_offset: 0n, meta_data }], num_rows: BigInt(rows), total_byte_size: size },
    ],
    metadata_length: 0,
  }
  const end = new ByteWriter()
  writeMetadata(end, metadata)
  return Buffer.concat([body, end.getBytes(), Buffer.from('PAR1')])
}

let files = 0
async function ids(bytes: Uint8Array, rows: number): Promise<(string | null)[]> {
  const key = `${files++}.parquet`
  await writeFile(join(folder, key), bytes)
  const info = await store.head(key)
  const encoding = objectEncodingOf(key)
  if (!info || !encoding) throw new Error('not written')
  const parts = [{ ...info, ...encoding, start: 0, end: rows }]
  const reader = readSlice(store, { parts }, { fields: { id: 'id', text: 'id' } })
  return (await Array.fromAsync(reader.records)).map(({ id }) => id ?? null)
}

const abc = ['a', 'b', 'c'].flatMap(text)

test.each<[string, Page[], boolean?]>([
  ['plain', [v1(3, 'PLAIN', abc)]],
  ['with levels', [v1(3, 'PLAIN', [...u32(2), ...run(3, 1), ...abc])], true],
  ['with levels of version 2', [v2(3, 'PLAIN', [...run(3, 1), ...abc], 2)], true],
  [
    'of equal differences',
    [v1(3, 'DELTA_BYTE_ARRAY', [...delta(3, 0, 0), ...delta(3, 1, 0), ...Buffer.from('abc')])],
  ],
])('P-BOUNDED: a page that is as it says is read: %s', async (_, pages, optional) => {
  expect(await ids(parquet(3, pages, optional), 3)).toEqual(['a', 'b', 'c'])
})

test.each<[string, number, Page[], RegExp, boolean?]>([
  [
    'values than a page may have',
    MANY,
    [v1(MANY, 'PLAIN', abc)],
    /claims 2000000000 values, the limit is 4194304: write/,
  ],
  ['values in version 2', MANY, [v2(MANY, 'PLAIN', abc)], /claims 2000000000 values, the limit is/],
  ['values in its dictionary', 3, [dictionary(MANY, text('a'))], /claims 2000000000 values, the limit is/],
  [
    'texts',
    2_000_000,
    [v1(2_000_000, 'PLAIN', Array(8_000_000).fill(0))],
    /claims 2000000 texts, the limit is 1048576/,
  ],
  ['texts in its dictionary', 3, [dictionary(2_000_000, text('a'))], /claims 2000000 texts, the limit is/],
  [
    'values than its group has rows',
    3,
    [v1(4_000_000, 'PLAIN', abc)],
    /claims 4000000 values, its row group has only 3 rows left/,
  ],
  [
    'levels',
    3,
    [v1(3, 'PLAIN', [...u32(6), ...run(MANY, 1), ...abc])],
    /3 values has a run that claims 2000000000/,
    true,
  ],
  [
    'levels of version 2',
    3,
    [v2(3, 'PLAIN', [...run(MANY, 1), ...abc], 6)],
    /3 values has a run that claims 2000000000/,
    true,
  ],
  [
    'places in its dictionary',
    3,
    [dictionary(1, text('a')), v1(3, 'RLE_DICTIONARY', [1, ...run(MANY, 0)])],
    /3 values has a run that claims 2000000000/,
  ],
  [
    'places of no bits',
    3,
    [dictionary(1, text('a')), v2(3, 'RLE_DICTIONARY', [0, ...run(MANY)])],
    /3 values has a run that claims 2000000000/,
  ],
  [
    'text, each repeating the one before',
    20_000,
    [
      v1(20_000, 'DELTA_BYTE_ARRAY', [
        ...delta(20_000, 0, 1),
        ...delta(20_000, 1, 0),
        ...Array(20_000).fill(97),
      ]),
    ],
    /texts of \d+ bytes, the limit is 134217728: write it with smaller pages/,
  ],
])('P-BOUNDED: a page that claims more %s is refused', async (_, rows, pages, message, optional) => {
  const before = process.memoryUsage.rss()
  await expect(ids(parquet(rows, pages, optional), rows)).rejects.toMatchObject({
    code: 'SOURCE_FORMAT',
    message: expect.stringMatching(message),
  })
  expect(process.memoryUsage.rss() - before).toBeLessThan(256 * 2 ** 20)
})

test('P-BOUNDED: a page of a shard may not claim more values than its rows', () => {
  const packed = (page: Page, rawBytes = 100): Buffer => {
    const body = zstdCompressSync(page.body)
    return Buffer.from(
      pageBytes({
        header: { ...page.header, compressed_page_size: body.length, uncompressed_page_size: rawBytes },
        body,
      }),
    )
  }
  const column = { kind: 'flat', name: 'year', type: 'string', nullable: true } as const
  const nulls = v1(MANY, 'PLAIN', [...u32(6), ...run(MANY, 0)])
  expect(() => decodeFlat(packed(nulls), 3, column)).toThrow(
    'has a page that claims 2000000000 values of year for 3 rows',
  )
  expect(() => decodeStrings(packed(v1(3, 'PLAIN', abc), MANY), 3)).toThrow(
    'has a page that claims 3 values in 2000000000 bytes',
  )
  const vectors = Buffer.from(pageBytes(v1(3, 'PLAIN', abc)))
  expect(() => decodeVectors(vectors, MANY, { dimensions: 768, dtype: 'float32' })).toThrow(
    /claims 2000000000 vectors of 768 dimensions in \d+ bytes/,
  )
})

const table = tableFromArrays({ id: ['a', 'b'], text: ['y'.repeat(5_000), 'z'] })

test('P-BOUNDED: an Arrow batch of more than 128 MiB is refused by its metadata', async () => {
  const bytes = Buffer.from(tableToIPC(table, 'stream'))
  const length = Buffer.alloc(8)
  // The record batch is the last message but the end; its metadata contains the length of its body.
  const batch = bytes.lastIndexOf(Buffer.from([255, 255, 255, 255]), bytes.length - 9)
  const body = bytes.length - 8 - (batch + 8 + bytes.readInt32LE(batch + 4))
  length.writeBigInt64LE(BigInt(body))
  const place = bytes.indexOf(length, batch)
  bytes.writeBigInt64LE(200n * 1024n * 1024n, place)
  await writeFile(join(folder, 'large.arrow'), bytes)
  await truncate(join(folder, 'large.arrow'), 256 * 1024 * 1024)
  const info = await store.head('large.arrow')
  if (!info) throw new Error('not written')
  await expect(indexObject(store, { ...info, format: 'arrow' }, { sliceBytes: 1 })).rejects.toMatchObject({
    code: 'SOURCE_FORMAT',
    message: expect.stringMatching(
      /has a batch of 2097\d+ bytes, the limit is 134217728: write it with smaller batches/,
    ),
  })
})

test('P-BOUNDED: Arrow metadata that claims more than it holds is refused, in every vector', async () => {
  const good = Buffer.from(tableToIPC(table, 'file'))
  const stream = Buffer.from(tableToIPC(table, 'stream'))
  let refused = 0
  // Each number of the metadata in turn: lengths of vectors, offsets, counts.
  for (const [name, from, bytes] of [
    ['footer', good.length - 10 - good.readInt32LE(good.length - 10), good],
    ['schema', 8, stream],
  ] as const) {
    const end = name === 'schema' ? 8 + stream.readInt32LE(4) : good.length - 10
    for (let place = from; place + 4 <= end; place += 4) {
      const changed = Buffer.from(bytes)
      changed.writeInt32LE(0x3ffffff0, place)
      const key = `${name}-${place}.arrow`
      await writeFile(join(folder, key), changed)
      const info = await store.head(key)
      if (!info) throw new Error('not written')
      const object = { ...info, format: 'arrow' as const }
      const rows = readSlice(
        store,
        { parts: [{ ...object, start: 0, end: 2 }] },
        { fields: { id: 'id', text: 'text' } },
      )
      const [measured, read] = await Promise.allSettled([
        indexObject(store, object, { sliceBytes: 1 }),
        Array.fromAsync(rows.records),
      ])
      for (const one of [measured, read]) {
        if (one.status === 'fulfilled') continue
        refused += 1
        expect(one.reason, key).toMatchObject({ name: 'ReembedError' })
      }
    }
  }
  expect(refused).toBeGreaterThan(20)
  expect(process.resourceUsage().maxRSS / 1024).toBeLessThan(1_024)
})
