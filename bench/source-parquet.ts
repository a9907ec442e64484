// Measures the CPU time of reading Parquet with zstd: reembed, against hyparquet's reader with
// Node's zstd and with the JavaScript zstd of hyparquet-compressors. Every round checks that all
// three return the same ids and texts. The bytes come from memory. Id and text are read; a third
// column is not.
//
//   node --conditions=@reembed/source bench/source-parquet.ts

import { createHash } from 'node:crypto'
import { zstdDecompressSync } from 'node:zlib'
import { readSlice } from '@reembed/corpus'
import { indexObject } from '@reembed/formats'
import type { Store } from '@reembed/store'
import { tableFromArrays, tableToIPC } from 'apache-arrow'
import { type Compressors, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { Compression, Table, WriterPropertiesBuilder, writeParquet } from 'parquet-wasm'

const ROUNDS = 9
const DOCUMENTS = 20_000
/** With this many words, texts compress about as well as English. */
const WORDS = Array.from({ length: 4_000 }, (_, i) => ((i * 2_654_435_761) % 60_466_176).toString(36))

function fileOf(): Buffer {
  let seed = 1
  const text = (): string =>
    Array.from({ length: 250 }, () => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
      // Squared, so that some words are common.
      return WORDS[Math.floor((seed / 2 ** 32) ** 2 * WORDS.length)]
    }).join(' ')
  const texts = Array.from({ length: DOCUMENTS }, text)
  const table = tableFromArrays({
    id: texts.map((_, i) => `doc-${i}`),
    text: texts,
    other: texts.toReversed(),
  })
  const properties = new WriterPropertiesBuilder()
    .setCompression(Compression.ZSTD)
    .setDictionaryEnabled(false)
    .setMaxRowGroupSize(5_000)
    .build()
  return Buffer.from(writeParquet(Table.fromIPCStream(tableToIPC(table, 'stream')), properties))
}

function digestOf(rows: Iterable<{ id: string; text: string }>): string {
  const hash = createHash('sha256')
  for (const { id, text } of rows) hash.update(`${id}:${text.length},`)
  return hash.digest('hex')
}

async function byReembed(file: Buffer): Promise<string> {
  const store = {
    url: 'memory',
    get: async (_: string, { start = 0, end = file.length } = {}) => file.subarray(start, end),
    async *stream(_: string, { start = 0, end = file.length } = {}) {
      for (let at = start; at < end; at += 262_144) yield file.subarray(at, Math.min(end, at + 262_144))
    },
  } as unknown as Store
  const object = { key: 'a.parquet', etag: 'e', size: file.length, format: 'parquet' } as const
  const { extent } = await indexObject(store, object, { sliceBytes: 1 })
  const part = { ...object, start: 0, end: extent, extent }
  const rows: { id: string; text: string }[] = []
  for await (const record of readSlice(store, { parts: [part] }, { fields: { id: 'id', text: 'text' } })
    .records) {
    if (record.kind === 'document') rows.push({ id: record.id, text: record.text })
  }
  return digestOf(rows)
}

async function byHyparquet(file: Buffer, zstd: Compressors): Promise<string> {
  const copy = new Uint8Array(file).buffer
  const rows = await parquetReadObjects({
    file: copy,
    columns: ['id', 'text'],
    compressors: { ...compressors, ...zstd },
  })
  return digestOf(rows as { id: string; text: string }[])
}

const file = fileOf()
const readers = {
  reembed: () => byReembed(file),
  'hyparquet, node zstd': () =>
    byHyparquet(file, { ZSTD: (input, length) => zstdDecompressSync(input, { maxOutputLength: length }) }),
  'hyparquet, JS zstd': () => byHyparquet(file, {}),
}
const taken = new Map<string, number[]>()
for (let round = -2; round < ROUNDS; round++) {
  const digests = new Set<string>()
  for (const [name, read] of Object.entries(readers)) {
    const before = process.cpuUsage()
    digests.add(await read())
    const { user, system } = process.cpuUsage(before)
    if (round >= 0) taken.set(name, [...(taken.get(name) ?? []), (user + system) / 1000])
  }
  if (digests.size !== 1) throw new Error('the readers disagree')
}
const median = (values: readonly number[] = []): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
const slowest = median(taken.get('hyparquet, JS zstd'))
console.log(
  `${DOCUMENTS} documents, ${(file.length / 1e6).toFixed(1)} MB of Parquet, median of ${ROUNDS} rounds`,
)
for (const [name, values] of taken) {
  console.log(
    `${name.padEnd(22)} ${median(values).toFixed(0).padStart(5)} ms CPU   ${(slowest / median(values)).toFixed(2)}x`,
  )
}
