import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { objectEncodingOf } from '@reembed/formats'
import type { FieldMapping, Format, PartRead, Slice, SourceRecord } from '@reembed/protocol'
import { openStore, type Store } from '@reembed/store'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readSlice } from '../src/source/read.ts'

// The same examples in each run.
fc.configureGlobal({ seed: 1 })

const FIELDS: FieldMapping = { id: 'id', text: 'text' }
let folder: string
let store: Store

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-source-'))
  store = await openStore(folder)
})
afterAll(async () => {
  await store[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

/** The records of a file that is cut at the given offsets, and the ranges that were read. */
async function readCut(
  key: string,
  cuts: readonly number[] = [],
  { fields = FIELDS, from = store }: { fields?: FieldMapping | null; from?: Store } = {},
): Promise<{ records: SourceRecord[]; read: PartRead[] }> {
  const info = await store.head(key)
  if (!info) throw new Error(`${key} is missing`)
  const format = objectEncodingOf(key)?.format as Format
  const bounds = [
    0,
    ...[...new Set(cuts)].filter(at => at > 0 && at < info.size).sort((a, b) => a - b),
    info.size,
  ]
  const parts = bounds.slice(1).map((end, i) => ({ ...info, format, start: bounds[i] ?? 0, end }))
  const reader = readSlice(from, { parts } satisfies Slice, { fields })
  const records: SourceRecord[] = []
  for await (const record of reader.records) records.push(record)
  return { records, read: [...reader.rangesRead] }
}

async function readText(
  name: string,
  content: string | Uint8Array,
  cuts?: readonly number[],
): Promise<SourceRecord[]> {
  await writeFile(join(folder, name), content)
  return (await readCut(name, cuts)).records
}

/** The id of a document, or the reason of a reject. */
const labelOf = (record: SourceRecord): string => (record.kind === 'document' ? record.id : record.reason)

/** The same bytes in chunks of `length`, so that chunk boundaries fall everywhere. */
const inChunksOf = (length: number, from: Store): Store => ({
  ...from,
  async *stream(key, options) {
    for await (const chunk of from.stream(key, options)) {
      for (let at = 0; at < chunk.length; at += length) yield chunk.slice(at, at + length)
    }
  },
})

describe('a JSONL slice', () => {
  const line = fc.oneof(
    fc
      .record({
        id: fc.string({ minLength: 1, maxLength: 5 }),
        text: fc.string({ unit: 'grapheme', maxLength: 40 }),
      })
      .map(record => JSON.stringify(record)),
    fc.constantFrom('', ' ', '{"id":', '[]', 'null', '{"id":7,"text":"é€😀"}'),
  )
  const file = fc.record({
    lines: fc.array(line, { maxLength: 30 }),
    newline: fc.constantFrom('\n', '\r\n'),
    bom: fc.boolean(),
    ended: fc.boolean(),
  })

  it('yields each line exactly once and ranges that tile the object, for any cuts and any chunks', async () => {
    let run = 0
    await fc.assert(
      fc.asyncProperty(
        file,
        fc.array(fc.nat(2_000), { maxLength: 12 }),
        fc.integer({ min: 1, max: 200 }),
        async ({ lines, newline, bom, ended }, cuts, chunk) => {
          const key = `property-${run++}.jsonl`
          const content = Buffer.from((bom ? '\uFEFF' : '') + lines.join(newline) + (ended ? newline : ''))
          await writeFile(join(folder, key), content)
          const whole = await readCut(key)
          const cut = await readCut(key, cuts, { from: inChunksOf(chunk, store) })

          const place = ({ position: { part: _, line: __, ...place }, ...record }: SourceRecord) => ({
            ...record,
            ...place,
          })
          expect(cut.records.map(place)).toEqual(whole.records.map(place))
          const isBlank = (line: string) => line.trim() === ''
          expect(whole.records.length).toBe(lines.filter(line => !isBlank(line)).length)
          let at = 0
          for (const { start, end, lines } of cut.read) {
            if (lines === 0) expect(start).toBe(end)
            else {
              expect(start).toBe(at)
              at = end
            }
          }
          expect(at).toBe(content.length)
          const newlines = content.toString().split('\n')
          const count = newlines.at(-1) === '' ? newlines.length - 1 : newlines.length
          expect(cut.read.reduce((sum, { lines }) => sum + lines, 0)).toBe(count)
          // Every position is the byte at which its line begins.
          for (const { position } of cut.records) {
            expect(position.offset === 0 || content[position.offset - 1] === 10).toBe(true)
            const read = cut.read[position.part]
            const before = content.subarray(read?.start, position.offset).filter(byte => byte === 10).length
            expect(position.line).toBe(before + 1)
          }
          await rm(join(folder, key))
        },
      ),
      { numRuns: 300 },
    )
  })

  it('is read to the end of its last line and no further', async () => {
    const content = '{"id":1,"text":"a"}\n'.repeat(20_000)
    await writeFile(join(folder, 'tail.jsonl'), content)
    let bytes = 0
    const counting: Store = {
      ...store,
      async *stream(key, options) {
        for await (const chunk of store.stream(key, options)) {
          bytes += chunk.length
          yield chunk
        }
      },
    }
    const info = await store.head('tail.jsonl')
    if (!info) throw new Error('missing')
    const part = { ...info, format: 'jsonl' as const, start: 1_005, end: 2_005 }
    const reader = readSlice(counting, { parts: [part] }, { fields: FIELDS })
    for await (const _ of reader.records);
    expect(reader.rangesRead).toMatchObject([{ start: 1_020, end: 2_020, lines: 50 }])
    expect(bytes).toBeLessThanOrEqual(1_001 + 64 * 1024)
  })

  it('is read beyond its end when its last line is longer than one read-ahead', async () => {
    const long = JSON.stringify({ id: 'long', text: 'x'.repeat(3_000_000) })
    const content = `{"id":"a","text":"a"}\n${long}\n{"id":"z","text":"z"}\n`
    expect((await readText('long.jsonl', content, [30, 100_000, 2_000_000])).map(labelOf)).toEqual([
      'a',
      'long',
      'z',
    ])
  })

  it('closes its stream when the consumer stops early', async () => {
    let closed = false
    const watched: Store = {
      ...store,
      async *stream(key, options) {
        try {
          yield* store.stream(key, options)
        } finally {
          closed = true
        }
      },
    }
    await writeFile(join(folder, 'early.jsonl'), '{"id":1,"text":"a"}\n'.repeat(100_000))
    const info = await store.head('early.jsonl')
    if (!info) throw new Error('missing')
    const part = { ...info, format: 'jsonl' as const, start: 0, end: info.size }
    for await (const _ of readSlice(watched, { parts: [part] }, { fields: FIELDS }).records) break
    expect(closed).toBe(true)
  })
})

describe('a line', () => {
  it.each<[string, string, string]>([
    ['broken JSON', '{"id":1,"text":secret}', 'the line is not valid JSON'],
    ['cut off at the end', '{"id":1,"text":"secret', 'the JSON ends early: is the line cut off?'],
    ['cut off between members', '{"id":1', 'the line is not valid JSON at character 7'],
    ['followed by more', '{"id":1} {"secret":2}', 'the line is not valid JSON at character 9'],
  ])('of JSON that is %s is rejected without showing it', async (_, line, message) => {
    const [record] = await readText('broken.jsonl', `${line}\n`)
    expect(record).toMatchObject({ kind: 'reject', reason: 'invalid_json', position: { offset: 0, line: 1 } })
    expect((record as { message: string }).message).toContain(message)
    expect(JSON.stringify(record)).not.toContain('secret')
  })

  it.each<[string, string, string, string]>([
    ['an array', '[1]', 'invalid_record', 'the line is an array, expected an object'],
    ['null', 'null', 'invalid_record', 'the line is null, expected an object'],
    ['a string', '"x"', 'invalid_record', 'the line is a string, expected an object'],
    ['an object without id', '{"text":"t"}', 'missing_id', 'field "id" is missing'],
    ['an object with id null', '{"id":null,"text":"t"}', 'missing_id', 'field "id" is null'],
    ['an object with an empty id', '{"id":"","text":"t"}', 'invalid_id', 'field "id" is an empty string'],
    [
      'an object with a boolean id',
      '{"id":true,"text":"t"}',
      'invalid_id',
      'field "id" is a boolean, expected a string',
    ],
    ['an object with id 1.5', '{"id":1.5,"text":"t"}', 'invalid_id', 'not exact'],
    ['an object with id 1e999', '{"id":1e999,"text":"t"}', 'invalid_id', 'not exact'],
    [
      'an object with an id of 1,025 bytes',
      `{"id":"${'x'.repeat(1_025)}","text":"t"}`,
      'invalid_id',
      'has 1025 bytes, the limit is 1024',
    ],
    [
      'an object with half a surrogate in its id',
      '{"id":"\\ud800","text":"t"}',
      'invalid_id',
      'contains an unpaired surrogate',
    ],
    ['an object without text', '{"id":"a"}', 'missing_text', 'field "text" is missing'],
    ['an object with text null', '{"id":"a","text":null}', 'missing_text', 'field "text" is null'],
    [
      'an object with an array for text',
      '{"id":"a","text":["t"]}',
      'invalid_text',
      'field "text" is an array, expected a string',
    ],
    [
      'an object nested 65 deep',
      `{"id":"a","text":"t","x":${'['.repeat(64)}${']'.repeat(64)}}`,
      'invalid_record',
      'nested deeper than 64 levels',
    ],
    [
      'a depth bomb',
      `{"id":"a","text":"t","x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
      'invalid_record',
      'nested deeper than 64 levels',
    ],
    ['a depth bomb that never closes', '['.repeat(1_000_000), 'invalid_json', 'ends early'],
  ])('that is %s is rejected', async (_, line, reason, message) => {
    const records = await readText(
      'bad.jsonl',
      `{"id":"before","text":"t"}\n${line}\n{"id":"after","text":"t"}\n`,
    )
    expect(records.map(labelOf)).toEqual(['before', reason, 'after'])
    expect(records[1]).toMatchObject({ position: { part: 0, line: 2, offset: 27 } })
    expect((records[1] as { message: string }).message).toContain(message)
  })

  it('with a text of a wrong type is rejected with its id', async () => {
    expect(await readText('wrong.jsonl', '{"id":"a","text":7}')).toMatchObject([
      { id: 'a', reason: 'invalid_text' },
    ])
  })

  it.each<[string, string, string]>([
    ['an integer id', '{"id":42,"text":"t"}', '42'],
    ['an id of 1,024 bytes', `{"id":"${'é'.repeat(512)}","text":"t"}`, 'é'.repeat(512)],
    ['64 levels', `{"id":"a","text":"t","x":${'['.repeat(63)}${']'.repeat(63)}}`, 'a'],
    ['an empty text', '{"id":"a","text":""}', 'a'],
    [
      '__proto__ and constructor keys',
      '{"__proto__":{"id":"evil"},"constructor":1,"id":"a","text":"t"}',
      'a',
    ],
    ['U+FFFD in its text', '{"id":"a","text":"\uFFFD"}', 'a'],
  ])('with %s is a document', async (_, line, id) => {
    expect((await readText('good.jsonl', line)).map(labelOf)).toEqual([id])
    expect(({} as Record<string, unknown>).id).toBeUndefined()
  })

  it('has no fields from __proto__ or inherited members', async () => {
    const lines = '{"__proto__":{"id":"a","text":"t"}}\n'
    expect((await readText('proto.jsonl', lines)).map(labelOf)).toEqual(['missing_id'])
    await writeFile(join(folder, 'inherit.jsonl'), '{"id":"a"}\n')
    const { records } = await readCut('inherit.jsonl', [], { fields: { id: 'id', text: 'constructor' } })
    expect(records.map(labelOf)).toEqual(['missing_text'])
  })

  it('keeps NUL, control characters and lone surrogates in its text', async () => {
    const records = await readText('control.jsonl', '{"id":"a","text":"\\u0000\\u001b[31m\\ud800"}')
    expect(records).toMatchObject([{ text: '\u0000\u001b[31m\ud800' }])
  })

  it('that is not UTF-8 is rejected, the others are not', async () => {
    const bad = Buffer.concat([
      Buffer.from('{"id":"a","text":"é"}\n{"id":"b","text":"'),
      Buffer.from([0xc3, 0x28, 0xed, 0xa0, 0x80]),
      Buffer.from('"}\n{"id":"c","text":"€"}\n'),
    ])
    expect((await readText('latin.jsonl', bad)).map(labelOf)).toEqual(['a', 'invalid_utf8', 'c'])
  })

  it('gets a message that is one short line without control characters', async () => {
    await writeFile(join(folder, 'message.jsonl'), '{}\n')
    const fields = { id: `\u001b[31m\n${'x'.repeat(500)}`, text: 'text' }
    const { records } = await readCut('message.jsonl', [], { fields })
    const { message } = records[0] as { message: string }
    expect(message.length).toBeLessThanOrEqual(200)
    expect(message).not.toMatch(/\p{C}/u)
  })

  it('of more than 8 MiB is rejected with its length, in any part', async () => {
    const long = Buffer.alloc(9 * 1024 * 1024, 'x')
    const content = Buffer.concat([
      Buffer.from('{"id":"a","text":"t"}\n'),
      long,
      Buffer.from('\n{"id":"b","text":"t"}'),
    ])
    const records = await readText('large.jsonl', content, [5_000_000, 9_000_000])
    expect(records.map(labelOf)).toEqual(['a', 'too_large', 'b'])
    expect(records[1]).toMatchObject({
      message: `the line has ${long.length} bytes, the limit is 8388608`,
      position: { part: 0, offset: 22, line: 2 },
    })
  })

  it('of 1 GB takes no memory', async () => {
    await writeFile(join(folder, 'giant.jsonl'), '{"id":"a","text":"t"}\n')
    await truncate(join(folder, 'giant.jsonl'), 1_000_000_000)
    const before = process.memoryUsage().rss
    let peak = 0
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().rss - before)
    }, 20)
    const { records } = await readCut('giant.jsonl')
    clearInterval(watch)
    expect(records.map(labelOf)).toEqual(['a', 'too_large'])
    expect(peak).toBeLessThan(128 * 1024 * 1024)
  })
})

describe('a file', () => {
  it.each([
    ['UTF-16 (little-endian)', Buffer.from('\uFEFF{"id":1}\n', 'utf16le')],
    ['UTF-16 (big-endian)', Buffer.from('\uFEFF{"id":1}\n', 'utf16le').swap16()],
    ['gzip', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0])],
    ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0])],
  ])('in %s is refused by name', async (encoding, content) => {
    for (const name of ['foreign.jsonl', 'foreign.txt']) {
      await expect(readText(name, content)).rejects.toMatchObject({
        code: 'SOURCE_FORMAT',
        message: `"${name}" is ${encoding}, but its format requires UTF-8 text: convert or exclude it`,
      })
    }
  })

  it('that changed after planning is SOURCE_CHANGED', async () => {
    for (const key of ['changed.jsonl', 'changed.txt']) {
      await writeFile(join(folder, key), '{"id":1,"text":"a"}\n')
      const info = await store.head(key)
      if (!info) throw new Error('missing')
      await writeFile(join(folder, key), '{"id":2,"text":"bc"}\n')
      const part = { ...info, format: objectEncodingOf(key)?.format as Format, start: 0, end: info.size }
      const { records } = readSlice(store, { parts: [part] }, { fields: FIELDS })
      await expect(records.next()).rejects.toMatchObject({ code: 'SOURCE_CHANGED' })
      await rm(join(folder, key))
      const again = readSlice(store, { parts: [part] }, { fields: FIELDS })
      await expect(again.records.next()).rejects.toMatchObject({ code: 'SOURCE_CHANGED' })
    }
  })

  it('that ends before its planned size is an error', async () => {
    await writeFile(join(folder, 'short.jsonl'), '{"id":1,"text":"a"}\n{"id":2,"text":"b"}\n')
    const short: Store = {
      ...store,
      async *stream(key, options) {
        for await (const chunk of store.stream(key, options)) yield chunk.subarray(0, 20)
      },
    }
    await expect(readCut('short.jsonl', [], { from: short })).rejects.toMatchObject({
      code: 'CORRUPT',
      retry: 'retry',
    })
  })
})

describe('a text or Markdown file', () => {
  it('is one document with its key as id, without its byte order mark', async () => {
    await writeFile(join(folder, 'Größe 100%.md'), '\uFEFF# Title\r\n\nBody\n')
    const { records, read } = await readCut('Größe 100%.md', [], { fields: null })
    expect(records).toEqual([
      {
        kind: 'document',
        id: 'Größe 100%.md',
        text: '# Title\r\n\nBody\n',
        position: { part: 0, offset: 0 },
      },
    ])
    expect(read).toMatchObject([{ start: 0, end: 18, lines: 1 }])
  })

  it('that is not UTF-8 or is larger than 8 MiB is rejected', async () => {
    expect(await readText('latin.txt', Buffer.from([0xe9]))).toMatchObject([
      { id: 'latin.txt', reason: 'invalid_utf8' },
    ])
    await writeFile(join(folder, 'large.txt'), '')
    await truncate(join(folder, 'large.txt'), 8 * 1024 * 1024 + 1)
    const { records } = await readCut('large.txt')
    expect(records).toMatchObject([
      { reason: 'too_large', message: 'the file has 8388609 bytes, the limit is 8388608' },
    ])
  })

  it('can share a slice with JSONL; each record has the index of its part', async () => {
    await writeFile(join(folder, 'mixed.jsonl'), '{"id":1,"text":"a"}\n')
    await writeFile(join(folder, 'mixed.md'), '# b')
    const parts = []
    for (const key of ['mixed.md', 'mixed.jsonl']) {
      const info = await store.head(key)
      if (info)
        parts.push({ ...info, format: objectEncodingOf(key)?.format as Format, start: 0, end: info.size })
    }
    const reader = readSlice(store, { parts }, { fields: FIELDS })
    const found: [string, number][] = []
    for await (const record of reader.records) found.push([labelOf(record), record.position.part])
    expect(found).toEqual([
      ['mixed.md', 0],
      ['1', 1],
    ])
    expect(reader.rangesRead.map(({ key, lines }) => [key, lines])).toEqual([
      ['mixed.md', 1],
      ['mixed.jsonl', 1],
    ])
  })
})
