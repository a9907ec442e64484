// Damaged and malformed sources, and fields that do not fit: refused with one line, or rejects.

import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { readSlice } from '@reembed/corpus'
import type { ModelIdentity, SourceRecord } from '@reembed/protocol'
import { openStore } from '@reembed/store'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openCorpus } from '../src/open-corpus.ts'
import { type PlanRequest, planRun } from '../src/plan.ts'

const MODEL: ModelIdentity = { id: 'm', revision: 'r', dimensions: 8, pooling: 'mean', normalized: true }
const jsonl = (...records: unknown[]): string => records.map(record => `${JSON.stringify(record)}\n`).join('')
const LINES = jsonl(
  ...Array.from({ length: 5_000 }, (_, i) => ({ id: i, text: `text ${i} ${Math.sin(i)} ${Math.cos(i)}` })),
)

let folder: string
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'reembed-bad-')))
})
afterEach(() => rm(folder, { recursive: true }))

async function put(files: Record<string, string | Uint8Array>): Promise<void> {
  for (const [name, body] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), body)
  }
}

/** The records of all files, read as a worker would. */
async function read(
  files: Record<string, string | Uint8Array>,
  request: Partial<PlanRequest> = {},
  source = folder,
): Promise<SourceRecord[]> {
  await put(files)
  await using corpus = await openCorpus(source)
  const { head, slices } = await planRun(corpus, { model: MODEL, ...request })
  await using store = await openStore(head.source)
  const records: SourceRecord[] = []
  for await (const slice of slices()) {
    const { fields, template } = head.recipe
    const reader = readSlice(store, slice, { fields, template, carry: head.layout?.carry })
    for await (const record of reader.records) records.push(record)
  }
  return records
}

const told = (record: SourceRecord): string =>
  record.kind === 'document' ? `${record.id}=${record.text}` : `${record.position.line}: ${record.message}`

const refused = (message: string | RegExp) => ({
  code: 'SOURCE_FORMAT',
  message: typeof message === 'string' ? message : expect.stringMatching(message),
})

const cutShort = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, bytes.length - 5_000)
const flipped = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ 0xff
  return copy
}

describe('a compressed file', () => {
  it.each<[string, Uint8Array, RegExp]>([
    [
      'cut.jsonl.gz',
      cutShort(gzipSync(LINES)),
      /^"cut\.jsonl\.gz" is truncated: its gzip data can be read up to byte \d+ of the decompressed content \(unexpected end of file\)\. Replace or exclude it$/,
    ],
    [
      'cut.jsonl.zst',
      cutShort(zstdCompressSync(LINES)),
      /^"cut\.jsonl\.zst" is truncated: its zstd data can be read up to byte \d+/,
    ],
    [
      'crc.jsonl.gz',
      flipped(gzipSync(LINES), gzipSync(LINES).length - 6),
      /^"crc\.jsonl\.gz" is damaged: its gzip data can be read up to byte \d+ of the decompressed content \(incorrect data check\)/,
    ],
    [
      'plain.jsonl.gz',
      Buffer.from(LINES),
      /^"plain\.jsonl\.gz" is not gzip data, although its extension says so: rename or exclude it$/,
    ],
    [
      'gzip.jsonl.zst',
      gzipSync(LINES),
      /^"gzip\.jsonl\.zst" is not zstd data, although its extension says so/,
    ],
    ['packed.jsonl', gzipSync(LINES), /^"packed\.jsonl" is gzip, but its format requires UTF-8 text/],
  ])('%s is refused when the run is planned', async (name, bytes, message) => {
    await expect(read({ [name]: bytes })).rejects.toMatchObject(refused(message))
  })

  it('that is a bomb is refused, whatever it claims, and takes no memory', async () => {
    const bomb = gzipSync(Buffer.concat([Buffer.from(LINES), Buffer.alloc(300 * 2 ** 20, 0x20)]))
    const before = process.memoryUsage().rss
    await expect(read({ 'bomb.jsonl.gz': bomb })).rejects.toMatchObject(
      refused(
        /^"bomb\.jsonl\.gz" unpacks to more than 250 times its size \(\d+ bytes from \d+\), which text does not: exclude it$/,
      ),
    )
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 2 ** 20)
  })

  it('may have any name and hold nothing', async () => {
    const name = 'sp ace/%41 ü ?#\n.jsonl.gz'
    expect(
      await read({ [name]: gzipSync(jsonl({ id: 1, text: 'one' })), 'none.jsonl.gz': gzipSync('') }),
    ).toHaveLength(1)
  })

  it.each(['a.jsonl.gz', 'a.csv'])('%s that changes after planning is SOURCE_CHANGED', async name => {
    const body = (text: string): string =>
      name.endsWith('csv') ? `id,text\n1,${text}\n` : jsonl({ id: 1, text })
    const pack = (text: string) => (name.endsWith('gz') ? gzipSync(text) : text)
    await put({ [name]: pack(body('one')) })
    await using corpus = await openCorpus(folder)
    const { head, slices } = await planRun(corpus, { model: MODEL })
    const [slice] = await Array.fromAsync(slices())
    await put({ [name]: pack(body('two')) })
    await using store = await openStore(head.source)
    const reader = readSlice(store, slice ?? { parts: [] }, { fields: head.recipe.fields })
    await expect(Array.fromAsync(reader.records)).rejects.toMatchObject({ code: 'SOURCE_CHANGED' })
  })
})

describe('a table', () => {
  it.each<[string, string | Uint8Array, RegExp]>([
    [
      'long.csv',
      `id,text\n1,"${'x'.repeat(9 * 2 ** 20)}"\n`,
      /^"long\.csv", line 2 of the part that was read: the line is longer than 8388608 bytes$/,
    ],
    [
      'wide.csv',
      Buffer.from('id,text\n1,one\n', 'utf16le').fill(0xff, 0, 1).fill(0xfe, 1, 2),
      /^"wide\.csv" is UTF-16 \(little-endian\)/,
    ],
    ['not.parquet', 'PAR2', /^"not\.parquet" is not a Parquet file$/],
    [
      'short.parquet',
      `PAR1${'x'.repeat(100)}`,
      /^"short\.parquet" is truncated: its 104 bytes do not end with a Parquet footer$/,
    ],
    [
      'length.parquet',
      Buffer.from(`PAR1${'x'.repeat(100)}\xff\xff\xff\x7fPAR1`, 'latin1'),
      /^"length\.parquet" has a damaged footer: it claims to be 2147483647 bytes long in a file of 112$/,
    ],
    [
      'footer.parquet',
      Buffer.from(`PAR1${'x'.repeat(100)}\x50\0\0\0PAR1`, 'latin1'),
      /^"footer\.parquet" has a damaged footer \(.+\)$/,
    ],
    [
      'secret.parquet',
      `PARE${'x'.repeat(100)}PARE`,
      /^"secret\.parquet" is encrypted, which is not supported$/,
    ],
    ['not.arrow', 'x'.repeat(100), /^"not\.arrow" is not an Arrow IPC file, or is damaged$/],
    ['cut.arrow', `ARROW1\0\0${'\xff'.repeat(4)}`, /^"cut\.arrow" (is truncated|is not an Arrow IPC file)/],
  ])('%s is refused when the run is planned', async (name, bytes, message) => {
    await expect(read({ [name]: bytes })).rejects.toMatchObject(refused(message))
  })

  it('that lacks a column is refused with those it has', async () => {
    await expect(read({ 'a.csv': 'key,words\n1,one\n' })).rejects.toMatchObject({
      code: 'FIELD_NOT_FOUND',
      message:
        '"a.csv" has no id field (tried id, _id, doc_id, docid); its fields are "key", "words". Specify the id field',
    })
  })

  it('gives a reject with its line for each record that is none', async () => {
    const body = Buffer.concat([
      Buffer.from('id,text\n1,"one\nmore"\n2\n,three\n4,'),
      Buffer.from([0xe9]),
      Buffer.from('\n5,five,six\n6,six'),
    ])
    expect((await read({ 'a.csv': body })).map(told)).toEqual([
      '1=one\nmore',
      '4: the record has 1 fields, the header has 2',
      '5: field "id" is an empty string',
      '6: field "text" is not valid UTF-8',
      '7: the record has 3 fields, the header has 2',
      '6=six',
    ])
  })

  it('with a header alone is nothing to embed, and beside others no fault', async () => {
    await expect(read({ 'a.csv': 'id,text\n' })).rejects.toMatchObject({
      code: 'SOURCE_EMPTY',
      message: `There is nothing to embed: the objects in ${folder} hold no records`,
    })
    expect(await read({ 'b.csv': 'id,text\n1,one\n' })).toHaveLength(1)
  })
})

describe('fields and templates', () => {
  const nested = {
    'a.jsonl': jsonl(
      { meta: { id: 7, 'a/b': 'slash' }, 'meta.id': 8, body: { title: 'T', text: 'x' } },
      { meta: { id: 9 }, body: { text: 'y' } },
    ),
  }

  it('may be nested; a field of the very name comes first; integers become strings', async () => {
    expect((await read(nested, { fields: { id: 'meta.id', text: 'body.text' } })).map(told)).toEqual([
      '8=x',
      '9=y',
    ])
    expect((await read(nested, { fields: { id: '/meta/id', text: '/body/text' } })).map(told)).toEqual([
      '7=x',
      '9=y',
    ])
  })

  it.each([
    ['{{body.title}}\n\n{{ body.text }}', ['T\n\nx', 'y']],
    ['Title: {{body.title}}\nText: {{body.text}}', ['Title: T\nText: x', 'Text: y']],
    ['{{body.title}}: {{body.text}}.', ['T: x.', 'y.']],
    ['{{body.text}} ({{body.title}})', ['x (T)', 'y']],
    ['{{{meta.id}}} {{& body.text}}', ['7 x', '9 y']],
  ])('%j takes an empty field with its label and separator', async (template, expected) => {
    const records = await read(nested, {
      fields: { id: '/meta/id' },
      template: template.replace('meta.id', '/meta/id'),
    })
    expect(records.map(record => record.kind === 'document' && record.text)).toEqual(expected)
  })

  it.each([
    [
      '{{#each}}x{{/each}}',
      "'{{#each}}' is not a field name: use only {{ name }}, without sections or logic",
    ],
    ['no field', "it contains no field: write '{{ title }}\\n\\n{{ text }}'"],
    ['{{ text }} {{ open', "it has an unmatched '{{' or '}}'"],
  ])('%j is refused', async (template, what) => {
    await expect(read(nested, { fields: { id: 'meta.id' }, template })).rejects.toMatchObject({
      code: 'USAGE',
      message: `the template ${JSON.stringify(template)} is invalid: ${what}`,
    })
  })

  it('that a template misspells are FIELD_NOT_FOUND, objects in it reject the whole sample', async () => {
    await expect(read(nested, { fields: { id: 'meta.id' }, template: '{{ tilte }}' })).rejects.toMatchObject({
      code: 'FIELD_NOT_FOUND',
      message: expect.stringMatching(
        /^No sampled record has the field "tilte"; their fields are .*Check the name$/,
      ),
    })
    await expect(read(nested, { fields: { id: 'meta.id' }, template: '{{ body }}' })).rejects.toMatchObject({
      code: 'SOURCE_FORMAT',
      message: expect.stringContaining('invalid_text: field "body" is an object, expected a string'),
    })
  })

  it('that are carried have the type that all share, or the one that is named', async () => {
    const files = {
      'a.jsonl': jsonl(
        { id: 1, text: 'a', n: 1, m: 1, s: 1, b: true },
        { id: 2, text: 'b', n: 2, m: 1.5, s: 'x', b: null },
      ),
    }
    const carried = async (...carry: string[]) =>
      (await read(files, { carry })).map(record =>
        record.kind === 'document' ? { ...record.carried } : record.message,
      )
    expect(await carried('n', 'm', 's', 'b')).toEqual([
      { n: 1, m: 1, s: '1', b: true },
      { n: 2, m: 1.5, s: 'x', b: null },
    ])
    expect(await carried('n:string')).toEqual([{ n: '1' }, { n: '2' }])
    expect(await carried('m:int32')).toEqual([{ m: 1 }, { m: null }])
    expect(await carried('m:int32!')).toEqual([
      { m: 1 },
      'carried field "m" is a number that the column cannot hold, expected int32',
    ])
    await expect(carried('n:float')).rejects.toMatchObject({ code: 'USAGE' })
    await expect(carried('embedding')).rejects.toMatchObject({
      code: expect.stringMatching(/USAGE|FIELD_NOT_FOUND/),
    })
  })
})

describe('a glob', () => {
  it('takes what it matches, and only that', async () => {
    const one = (id: number) => jsonl({ id, text: `t${id}` })
    await put({
      'x/a.jsonl': one(1),
      'x/deep/b.jsonl': one(2),
      'x/c.md': 'no',
      'y/d.jsonl': one(4),
      'x/[e].jsonl': one(5),
    })
    const ids = async (glob: string) => (await read({}, {}, join(folder, glob))).map(told)
    expect(await ids('x/*.jsonl')).toEqual(['5=t5', '1=t1'])
    expect(await ids('**/*.jsonl')).toEqual(['5=t5', '1=t1', '2=t2', '4=t4'])
    expect(await ids('{x,y}/[ad].jsonl')).toEqual(['1=t1', '4=t4'])
    expect(await ids('x/[e].jsonl')).toEqual(['5=t5'])
    await expect(ids('z*/*.jsonl')).rejects.toMatchObject({
      code: 'SOURCE_EMPTY',
      message: expect.stringMatching(/no object in .* matches 'z\*\/\*\.jsonl'$/),
    })
  })
})

it('a folder whose name has a control character, which no worker reads, is refused', async () => {
  const source = join(folder, 'a\tb')
  await put({ 'a\tb/a.jsonl': LINES })
  await expect(read({}, {}, source)).rejects.toMatchObject({
    code: 'USAGE',
    option: 'source',
    message: expect.stringMatching(/a\\tb" contains dots or control characters: give its plain path/),
  })
})
