// Minimal cases of the faults that the fuzzer (npm run fuzz) found in readers of tables.

import { readSlice } from '@reembed/corpus'
import { indexObject } from '@reembed/formats'
import type { SourceObject, SourceRecord } from '@reembed/protocol'
import { createParquetWriter, readFooter } from '@reembed/shard'
import type { Store } from '@reembed/store'
import { Table, tableToIPC, Utf8, Utf8View, vectorFromArray } from 'apache-arrow'
import { parquetMetadata } from 'hyparquet'
import { expect, test } from 'vitest'

/** A store with one object, which it streams in chunks of a given size. */
function storeOf(bytes: Uint8Array, chunkBytes = 1 << 16): Store {
  const cut = ({ start = 0, end = bytes.length } = {}): Uint8Array =>
    bytes.subarray(start, Math.max(start, end))
  return {
    url: 'memory',
    async *list() {},
    head: async key => ({ key, size: bytes.length, etag: 'e' }),
    get: async (_key, options) => Buffer.from(cut(options)),
    async *stream(_key, options) {
      const range = cut(options)
      for (let at = 0; at < range.length; at += chunkBytes) yield range.subarray(at, at + chunkBytes)
    },
    putIfAbsent: async () => 'exists',
    copyIfAbsent: async () => 'exists',
    async [Symbol.asyncDispose]() {},
  }
}

/** Indexes the object and reads it slice by slice, as a plan cuts it. */
async function planned(store: Store, object: SourceObject, sliceBytes: number): Promise<SourceRecord[]> {
  const { splitPoints, extent, table } = await indexObject(store, object, { sliceBytes })
  const parts = splitPoints.map(({ start, seek }, i) => ({
    ...object,
    start,
    end: splitPoints[i + 1]?.start ?? extent,
    extent,
    ...(table && { table }),
    ...(seek && { seek }),
  }))
  const read = parts.map(part => readSlice(store, { parts: [part] }, { fields: { id: 'id', text: 'text' } }))
  return (await Promise.all(read.map(({ records }) => Array.fromAsync(records)))).flat()
}

const csv = (text: string): SourceObject => ({
  key: 'a.csv',
  size: Buffer.byteLength(text),
  etag: 'e',
  format: 'csv',
})
const texts = (records: readonly SourceRecord[]): unknown[] =>
  records.map(record => (record.kind === 'document' ? [record.id, record.text] : record.reason))

test('a CSV with CRLF is read the same for any chunk boundary, also between a quote and the line end', async () => {
  const file = 'id,text\r\n1,"one"\r\n2,"two, ""quoted"""\r\n3,"a\r\nb" \r\n'
  for (let chunk = 1; chunk <= file.length; chunk++) {
    for (const sliceBytes of [1, 12, 1_000]) {
      const records = await planned(storeOf(Buffer.from(file), chunk), csv(file), sliceBytes)
      expect(texts(records), `chunks of ${chunk}, slices of ${sliceBytes}`).toEqual([
        ['1', 'one'],
        ['2', 'two, "quoted"'],
        ['3', 'a\r\nb'],
      ])
    }
  }
})

test('the header of a CSV is not a document, for any blank lines before it and any slice size', async () => {
  const file = '\n\n\nid,text\n\n1,one\n2,two\n'
  for (const sliceBytes of [1, 2, 5, 100]) {
    const records = await planned(storeOf(Buffer.from(file)), csv(file), sliceBytes)
    expect(texts(records)).toEqual([
      ['1', 'one'],
      ['2', 'two'],
    ])
  }
})

test('a CSV of only a byte order mark has no documents', async () => {
  expect(await planned(storeOf(Buffer.from('\ufeff')), csv('\ufeff'), 100)).toEqual([])
})

test('a Parquet object with a damaged offset index is refused by name', async () => {
  const pieces: Buffer[] = []
  const writer = createParquetWriter({
    columns: [
      { kind: 'flat', name: 'id', type: 'string', nullable: false },
      { kind: 'flat', name: 'text', type: 'string', nullable: false },
    ],
    rowGroupRows: 10,
    sink: bytes => pieces.push(Buffer.from(bytes)),
  })
  const rows = ['a', 'b', 'c', 'd']
  writer.append(rows.length, [rows, rows])
  writer.finish([])
  const bytes = Buffer.concat(pieces)
  const metadata = parquetMetadata(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
  const chunk = metadata.row_groups[0]?.columns[0]
  const [at, length] = [Number(chunk?.offset_index_offset), Number(chunk?.offset_index_length)]
  expect(length).toBeGreaterThan(4)
  let refused = 0
  for (let place = at; place < at + length; place++) {
    for (const value of [0, 0x0f, 0xff]) {
      const changed = Buffer.from(bytes)
      changed[place] = value
      const part = {
        key: 'a.parquet',
        etag: 'e',
        size: bytes.length,
        format: 'parquet' as const,
        start: 2,
        end: 4,
      }
      const { records } = readSlice(
        storeOf(changed),
        { parts: [part] },
        { fields: { id: 'id', text: 'text' } },
      )
      const [read] = await Promise.allSettled([Array.fromAsync(records)])
      if (read?.status !== 'rejected') continue
      refused += 1
      expect(read.reason).toMatchObject({
        code: 'SOURCE_FORMAT',
        message: expect.stringMatching(/^"a\.parquet" .*damaged/),
      })
    }
  }
  expect(refused).toBeGreaterThan(0)
})

test('a shard without a footer hash is reported as changed', async () => {
  const file = Buffer.concat([Buffer.from('PAR1 reembed'), Buffer.alloc(4), Buffer.from('PAR1')])
  await expect(readFooter(storeOf(file), 'part.parquet')).rejects.toMatchObject({
    code: 'CORRUPT',
    message: expect.stringContaining('was changed after it was written: its footer'),
  })
})

test('an Arrow view beyond its buffers is reported with its row', async () => {
  const text = 'a text of more than twelve bytes'
  const views = new Table({
    id: vectorFromArray(['a', 'b'], new Utf8()),
    text: vectorFromArray(['b', text], new Utf8View()),
  })
  const bytes = Buffer.from(tableToIPC(views, 'stream'))
  const view = Buffer.alloc(8)
  view.writeInt32LE(text.length)
  view.write(text.slice(0, 4), 4, 'latin1')
  bytes.writeInt32LE(7, bytes.indexOf(view) + view.length)
  const part = { key: 'a.arrow', etag: 'e', size: bytes.length, format: 'arrow' as const, start: 0, end: 2 }
  const { records } = readSlice(storeOf(bytes), { parts: [part] }, { fields: { id: 'id', text: 'text' } })
  await expect(Array.fromAsync(records)).rejects.toMatchObject({
    code: 'SOURCE_FORMAT',
    message: expect.stringMatching(/^"a\.arrow" is damaged in row 1 of a batch/),
  })
})
