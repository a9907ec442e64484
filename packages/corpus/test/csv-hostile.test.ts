// CSV and TSV with hostile quoting: of every record that was written, the document has exactly its
// text, or the run is refused, or its line is a reject. No record is lost or changed in silence.

import { indexObject } from '@reembed/formats'
import type { SlicePart, SourceRecord } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { expect, test } from 'vitest'
import { readSlice } from '../src/source/read.ts'

const FILES = Number(process.env.REEMBED_TEST_FILES ?? 300)
const SEED = Number(process.env.REEMBED_TEST_SEED ?? 1)

/** A generator of numbers below 1, from a seed. */
function mulberry32(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

interface Writer {
  readonly name: string
  readonly format: 'csv' | 'tsv'
  readonly delimiter: string
  /** Characters of the texts. */
  readonly alphabet: string
  field(text: string): string
}

const DELIMITERS = [',', ';', '\t', '|']
const doubled = (text: string): string => `"${text.replaceAll('"', '""')}"`
const escaped = (text: string): string => `"${text.replace(/[\\"]/g, '\\$&')}"`
const WORDS = 'ab cd'

const writersOf = (delimiter: string): Writer[] => [
  {
    name: 'quotes where needed',
    format: 'csv',
    delimiter,
    alphabet: `${WORDS}"\n${delimiter}\\'`,
    field: text => (/["\n\r]/.test(text) || text.includes(delimiter) || text === '' ? doubled(text) : text),
  },
  {
    name: 'quotes everywhere',
    format: 'csv',
    delimiter,
    alphabet: `${WORDS}""\n\n${delimiter}\\'`,
    field: doubled,
  },
  { name: 'backslashes', format: 'csv', delimiter, alphabet: `${WORDS}""\\\\\n${delimiter}`, field: escaped },
  {
    name: 'no quoting, quotes in texts',
    format: 'csv',
    delimiter,
    alphabet: `${WORDS}"`,
    field: text => text,
  },
  { name: 'no quoting', format: 'tsv', delimiter: '\t', alphabet: `${WORDS}""\\,;'`, field: text => text },
]

test(`${FILES} generated files: no record is lost or changed in silence`, async () => {
  const random = mulberry32(SEED)
  const below = (limit: number): number => Math.floor(random() * limit)
  const faults: string[] = []
  const counts = { exact: 0, rejected: 0, refused: 0 }
  for (let n = 0; n < FILES; n++) {
    const writers = writersOf(DELIMITERS[below(DELIMITERS.length)] as string)
    const writer = writers[n % writers.length] as Writer
    const records = Array.from({ length: 1 + below(40) }, (_, i) => ({
      id: `d${i}`,
      // Without an escaped quote, no reader can tell backslashes from text.
      text:
        writer.name === 'backslashes' && i < 2
          ? 'a "b" c'
          : Array.from({ length: below(14) }, () => writer.alphabet[below(writer.alphabet.length)]).join(''),
    }))
    const newline = random() < 0.3 ? '\r\n' : '\n'
    const lines = records.map(({ id, text }) => [writer.field(id), writer.field(text)].join(writer.delimiter))
    // A line of another writer: a quote that is opened and not closed.
    const broken = n % 3 === 0 ? below(lines.length + 1) : -1
    if (broken >= 0) lines.splice(broken, 0, `d999${writer.delimiter}"open`)
    const file = Buffer.from(
      [`id${writer.delimiter}text`, ...lines].join(newline) + (random() < 0.5 ? newline : ''),
    )
    const read = await readAll(file, writer.format, 1 + below(200), 1 + below(100))
    if (read === undefined) {
      counts.refused += 1
      continue
    }
    const documents = new Map(
      read.flatMap(record => (record.kind === 'document' ? [[record.id, record.text]] : [])),
    )
    const rejects = read.filter(record => record.kind === 'reject').length
    const exact = records.filter(({ id, text }) => documents.get(id) === text).length
    counts.exact += exact
    counts.rejected += rejects
    const others = [...documents].filter(
      ([id, text]) => id !== 'd999' && records.find(record => record.id === id)?.text !== text,
    )
    if (others.length > 0)
      faults.push(`${n} ${writer.name}: ${JSON.stringify(others[0])} in ${JSON.stringify(file.toString())}`)
    if (exact + rejects < records.length) {
      faults.push(
        `${n} ${writer.name}: ${exact} exact and ${rejects} rejects of ${records.length}: ${JSON.stringify(file.toString())}`,
      )
    }
  }
  expect(faults).toEqual([])
  expect(counts.exact).toBeGreaterThan(FILES)
})

/** The records of a file that is cut into slices and read in chunks; undefined if it is refused. */
async function readAll(
  bytes: Buffer,
  format: 'csv' | 'tsv',
  sliceBytes: number,
  chunkBytes: number,
): Promise<SourceRecord[] | undefined> {
  const object = { key: `a.${format}`, etag: 'e', size: bytes.length, format }
  const store = storeOf(bytes, chunkBytes)
  try {
    const { splitPoints, extent, table } = await indexObject(store, object, { sliceBytes })
    const records: SourceRecord[] = []
    for (const [i, { start }] of splitPoints.entries()) {
      const end = splitPoints[i + 1]?.start ?? extent
      const part: SlicePart = { ...object, start, end, extent, ...(table && { table }) }
      const reader = readSlice(store, { parts: [part] }, { fields: { id: 'id', text: 'text' } })
      for await (const record of reader.records) records.push(record)
    }
    return records
  } catch (error) {
    if (error instanceof ReembedError && error.code === 'SOURCE_FORMAT') return undefined
    throw error
  }
}

function storeOf(bytes: Buffer, chunkBytes: number): Store {
  async function* stream(_: string, { start = 0, end = bytes.length } = {}) {
    for (let at = start; at < Math.min(end, bytes.length); at += chunkBytes)
      yield bytes.subarray(at, Math.min(at + chunkBytes, end))
  }
  return { url: 'memory', stream } as unknown as Store
}
