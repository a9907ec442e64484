// JSONL over any chunk boundaries and any slices: what the WebAssembly scanner makes of lines is
// what JSON.parse makes of them, each line is in one slice, and none is lost.

import { isUtf8 } from 'node:buffer'
import { readSlice } from '@reembed/corpus'
import type { PartRead, SlicePart, SourceRecord } from '@reembed/protocol'
import { choicesOf, memoryStore, must, refusing, type Target } from '../target.ts'

const KEY = 'a.jsonl'
const FIELDS = [
  { id: 'id', text: 'text' },
  { id: 'meta.id', text: '/a/b' },
  { id: '__proto__', text: 'constructor' },
  { id: 'é', text: 'id' },
] as const

const LINES = [
  { id: 'a', text: 'one "two" \\ three\n', lang: 'en', n: 1.5e3, flag: true, none: null },
  { id: 'b', text: 'größe 東京 🦉', lang: 'fr', n: -0, flag: false, none: null },
  { id: 'c', text: '', lang: '\u0000\u001f', n: 2 ** 60, flag: true, none: null },
  { meta: { id: 7 }, a: { b: ['x', { y: [] }] }, é: 'ü' },
]
const lines = (ending: string): Buffer =>
  Buffer.from([...LINES, ...LINES.slice(0, 3)].map(line => JSON.stringify(line)).join(ending) + ending)

export const target: Target = {
  what: 'JSONL lines, by chunks and slices',
  maxBytes: 1_200,
  maxMiB: 256,
  dictionary: [
    '{"id":"',
    '","text":"',
    '"}\n',
    '\r\n',
    '\\u',
    '\\ud83d\\ude00',
    '\\"',
    '\ufeff',
    '\u2028',
    'null',
    '1e999',
    '-0',
    '__proto__',
    ' : ',
    '[[[[[[[[',
    '{"a":',
  ],
  seeds: () =>
    [lines('\n'), lines('\r\n'), Buffer.concat([Buffer.from('\ufeff'), lines('\n\n')])].flatMap(body =>
      [
        [0, 60, 255, 0],
        [0, 7, 3, 40],
        [1, 200, 90, 90],
      ].map(head => Buffer.concat([Buffer.from(head), body])),
    ),
  async check(input) {
    const choices = choicesOf(input, 4)
    const fields = FIELDS[choices.number(FIELDS.length)] ?? FIELDS[0]
    const chunkBytes = 1 + choices.number(256)
    const bytes = choices.rest
    const cuts = [choices.number(256), choices.number(256)]
      .map(cut => Math.min(bytes.length, Math.floor((cut * bytes.length) / 255)))
      .sort((a, b) => a - b)
    const store = memoryStore(new Map([[KEY, bytes]]), { chunkBytes })
    const whole = await refusing(['SOURCE_FORMAT'], () => recordsOf(store, bytes.length, [], fields))
    if (whole === undefined) return
    must(
      JSON.stringify(whole.records.map(withoutMessage)) === JSON.stringify(expected(bytes, fields)),
      () => 'records differ from those of JSON.parse',
    )
    const cut = await recordsOf(store, bytes.length, cuts, fields)
    must(
      JSON.stringify(withoutPlace(cut.records)) === JSON.stringify(withoutPlace(whole.records)),
      () => 'the slices hold other records than the whole',
    )
    let reached = 0
    for (const { start, end, lines } of cut.read) {
      if (lines === 0) continue
      must(start === reached, () => `a slice begins at ${start}, the one before ended at ${reached}`)
      reached = end
    }
    must(reached === bytes.length, () => `bytes ${reached} to ${bytes.length} are in no slice`)
  },
}

async function recordsOf(
  store: ReturnType<typeof memoryStore>,
  size: number,
  cuts: readonly number[],
  fields: (typeof FIELDS)[number],
): Promise<{ records: SourceRecord[]; read: PartRead[] }> {
  const records: SourceRecord[] = []
  const read: PartRead[] = []
  const bounds = [0, ...cuts, size]
  for (const [i, start] of bounds.slice(0, -1).entries()) {
    const part: SlicePart = { key: KEY, etag: 'e', size, format: 'jsonl', start, end: bounds[i + 1] ?? size }
    const reader = readSlice(store, { parts: [part] }, { fields })
    for await (const record of reader.records) records.push(record)
    read.push(...reader.rangesRead)
  }
  return { records, read }
}

const withoutMessage = ({ kind, position, ...record }: SourceRecord): object => {
  if (kind === 'document') return { kind, ...record, position }
  const { message: _, ...reject } = record as { message: string }
  return { kind, ...reject, position }
}

/** Line numbers count from where a slice begins. */
const withoutPlace = (records: readonly SourceRecord[]): unknown[] =>
  records.map(({ position, ...record }) => ({ ...record, offset: position.offset }))

/** The same, line by line with JSON.parse and nothing else. */
function expected(bytes: Buffer, fields: { id: string; text: string }): unknown[] {
  const records: unknown[] = []
  let line = 0
  for (let at = 0; at < bytes.length; ) {
    const newline = bytes.indexOf(10, at)
    const end = newline === -1 ? bytes.length : newline
    line += 1
    const from = at === 0 && bytes.subarray(0, 3).equals(BOM) ? Math.min(3, end) : at
    const record = recordIn(bytes.subarray(from, end), fields)
    if (record) records.push({ ...record, position: { part: 0, offset: at, line } })
    at = end + 1
  }
  return records
}

const BOM = Buffer.from([0xef, 0xbb, 0xbf])

function recordIn(line: Buffer, fields: { id: string; text: string }): object | undefined {
  if (line.length === 0 || (line.length === 1 && line[0] === 13)) return undefined
  if (!isUtf8(line)) return { kind: 'reject', reason: 'invalid_utf8' }
  let value: unknown
  try {
    value = JSON.parse(line.toString())
  } catch {
    return line.toString().trim() === '' ? undefined : { kind: 'reject', reason: 'invalid_json' }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value) || depthOf(value) > 64)
    return { kind: 'reject', reason: 'invalid_record' }
  const id = at(value, fields.id)
  const text = at(value, fields.text)
  if (id === undefined || id === null) return { kind: 'reject', reason: 'missing_id' }
  const name = typeof id === 'number' && Number.isSafeInteger(id) ? String(id) : id
  if (typeof name !== 'string' || name === '' || !name.isWellFormed() || Buffer.byteLength(name) > 1024)
    return { kind: 'reject', reason: 'invalid_id' }
  if (text === undefined || text === null) return { kind: 'reject', id: name, reason: 'missing_text' }
  if (typeof text !== 'string') return { kind: 'reject', id: name, reason: 'invalid_text' }
  return { kind: 'document', id: name, text }
}

function at(record: object, path: string): unknown {
  if (Object.hasOwn(record, path)) return Reflect.get(record, path)
  let value: unknown = record
  for (const step of path.startsWith('/') ? path.slice(1).split('/') : path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = Reflect.get(value, step)
  }
  return value
}

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}
