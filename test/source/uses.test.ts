// The table of docs/formats.md: what becomes of a value of each type, in each format, as id, as
// text, in a template and as a column.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readSlice } from '@reembed/corpus'
import { indexObject, objectEncodingOf } from '@reembed/formats'
import type { SlicePart } from '@reembed/protocol'
import { openStore, type Store } from '@reembed/store'
import { afterAll, beforeAll, expect, test } from 'vitest'

const CASES = fileURLToPath(new URL('cases/', import.meta.url))
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-uses-'))
  await writeFile(
    join(folder, 'a.jsonl'),
    '{"key":"k","string":"s","integer":12345678901234567890,"float":1.5,"nan":NaN,"boolean":true,"list":[1,{"a":2.50}],"null":null}\n',
  )
  const line = ['k', 's', '12345678901234567890', '1.5', 'true']
  await writeFile(join(folder, 'a.csv'), `key,string,integer,float,boolean\n${line.join(',')}\n`)
  await writeFile(join(folder, 'a.tsv'), `key\tstring\tinteger\tfloat\tboolean\n${line.join('\t')}\n`)
})
afterAll(() => rm(folder, { recursive: true }))

/** The first record of a file with a field in one use: its value; null for a reject. */
async function use(file: string, field: string, as: 'id' | 'text' | 'template' | 'carried', key: string) {
  await using store: Store = await openStore(file.startsWith('a.') ? folder : CASES)
  const found = await store.head(file)
  const encoding = objectEncodingOf(file)
  if (!found || !encoding) throw new Error(`no ${file}`)
  const object = { ...found, ...encoding }
  const { extent, table } =
    object.format === 'jsonl'
      ? { extent: object.size, table: undefined }
      : await indexObject(store, object, { sliceBytes: 1e6 })
  const part: SlicePart = { ...object, start: 0, end: extent, extent, ...(table && { table }) }
  const reader = readSlice(
    store,
    { parts: [part] },
    {
      fields: { id: as === 'id' ? field : key, text: as === 'text' ? field : key },
      ...(as === 'template' && { template: `{{ ${field} }}` }),
      ...(as === 'carried' && { carry: [{ name: field, type: 'string' }] }),
    },
  )
  const first = await reader.records.next()
  await reader.records.return?.()
  if (first.done) throw new Error(`${file} has no record`)
  const record = first.value
  if (record.kind === 'reject') return R
  if (as === 'id') return record.id
  return as === 'carried' ? record.carried?.[field] : record.text
}

type Row = readonly [
  file: string,
  field: string,
  id: string | null,
  text: string | null,
  template: string | null,
  carried: string | null,
]
/** A reject. */
const R = null
/** The same value in each of the uses that take it. */
const exact = (file: string, field: string, value: string): Row => [file, field, value, R, value, value]
const noId = (file: string, field: string, value: string): Row => [file, field, R, R, value, value]
const string = (file: string, field: string, value: string): Row => [file, field, value, value, value, value]
const json = (file: string, field: string, value: string): Row => [file, field, R, R, R, value]

const rows: readonly Row[] = [
  ...['a.csv', 'a.tsv'].flatMap(file => [
    string(file, 'string', 's'),
    string(file, 'integer', '12345678901234567890'),
    string(file, 'float', '1.5'),
    string(file, 'boolean', 'true'),
  ]),
  string('a.jsonl', 'string', 's'),
  exact('a.jsonl', 'integer', '12345678901234567890'),
  noId('a.jsonl', 'float', '1.5'),
  noId('a.jsonl', 'nan', 'NaN'),
  noId('a.jsonl', 'boolean', 'true'),
  json('a.jsonl', 'list', '[1,{"a":2.5}]'),
  ['a.jsonl', 'null', R, R, '', ''],
  noId('timestamps.parquet', 'ts', '2024-01-02T03:04:05.678901'),
  noId('timestamps.parquet', 'tns', '2023-11-14T22:13:20.123456789Z'),
  noId('timestamps.parquet', 'day', '2024-02-29'),
  noId('timestamps.parquet', 't', '01:02:03.000000'),
  noId('timestamps.parquet', 'price', '12.34'),
  noId('timestamps.parquet', 'bigdec', '12345678901234567890.12'),
  exact('timestamps.parquet', 'u64', '18446744073709551615'),
  exact('timestamps.parquet', 'i8', '-1'),
  string('timestamps.parquet', 'cat', 'x'),
  json('parquet-lists.parquet', 'tags', '["x","y"]'),
  json('parquet-lists.parquet', 'meta', '{"lang":"en","n":1}'),
  json('parquet-lists.parquet', 'm', '{"k":"v"}'),
  noId('arrow-decimal.arrow', 'price', '12.34'),
  exact('arrow-decimal.arrow', 'dec0', '12345678901234567890'),
  exact('arrow-decimal.arrow', 'u64', '18446744073709551615'),
  exact('arrow-decimal.arrow', 'i64', '9223372036854775807'),
  noId('arrow-decimal.arrow', 't', '01:02:03.000000'),
  noId('arrow-decimal.arrow', 'dur', 'PT0.000005S'),
  noId('arrow-decimal.arrow', 'f16', '1.5'),
  json('nested.feather', 'r', '[{"k":1,"v":[null,2]}]'),
  string('polars-types.arrow', 'c', 'x'),
  noId('polars-types.arrow', 't', '2024-01-02T03:04:05.678901'),
]

test.each(rows)('%s: the field %s', async (file, field, id, text, template, carried) => {
  const key = file.startsWith('a.') ? 'key' : 'id'
  expect(await use(file, field, 'id', key)).toBe(id)
  expect(await use(file, field, 'text', key)).toBe(text)
  expect(await use(file, field, 'template', key)).toBe(template)
  expect((await use(file, field, 'carried', key)) ?? '').toBe(carried)
})
