import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createShapedLineParser } from '../src/source/scan.ts'
import { SOURCE_SHA256 } from '../src/source/scan-wasm.ts'

const WANTED = ['id', 'text', 'meta.lang'] as const
const MEMBERS = ['id', 'text', 'meta'] as const

/** All that a reader of these fields looks at. */
const wantedOf = (record: object): [string, unknown][] =>
  MEMBERS.filter(name => Object.hasOwn(record, name)).map(name => [name, Reflect.get(record, name)])

/** JSON.parse's word on a line: a record, or nothing. */
function parsed(line: Buffer): object | undefined {
  try {
    const value: unknown = isUtf8(line) ? JSON.parse(line.toString()) : undefined
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Reads lines as readJsonl does, and says how many needed no JSON.parse. */
function readAll(lines: readonly Buffer[]): { records: (object | undefined)[]; taken: number } {
  const bytes = Buffer.concat(lines.flatMap(line => [line, Buffer.from('\n')]))
  const taker = createShapedLineParser(WANTED)
  const records: (object | undefined)[] = []
  const starts: number[] = []
  let taken = 0
  for (let at = 0; at < bytes.length; ) {
    const next = taker.parseLines(bytes, at, bytes.length, (record, start) => {
      starts.push(start)
      records.push(record)
      taken += 1
    })
    if (next === at) {
      const end = bytes.indexOf(10, at)
      const record = parsed(bytes.subarray(at, end))
      starts.push(at)
      records.push(record)
      if (record) taker.learnShape(bytes, at, end)
      at = end + 1
    } else {
      at = next
    }
  }
  let at = 0
  const expected = lines.map(({ length }) => {
    at += length + 1
    return at - length - 1
  })
  expect(starts).toEqual(expected)
  return { records, taken }
}

function expectAsParsed(lines: readonly Buffer[]): number {
  const { records, taken } = readAll(lines)
  for (const [index, line] of lines.entries()) {
    const [found, expected] = [records[index], parsed(line)]
    expect(found && wantedOf(found), JSON.stringify(line.toString())).toEqual(expected && wantedOf(expected))
  }
  return taken
}

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({
    unit: fc.constantFrom('"', '\\', '/', '\n', '\t', '\r', '\b', '\f', '\0', 'é', '東', '😀', 'a'),
    maxLength: 40,
  }),
  fc.string({
    unit: fc.constantFrom('\ud83d', '\ude00', 'a', '\ufeff', '\u2028', '\ufffd', '\x7f'),
    maxLength: 5,
  }),
)
const record = fc.record({
  id: fc.oneof({ weight: 4, arbitrary: text }, fc.integer(), fc.double(), fc.constant(null)),
  meta: fc.oneof(fc.record({ lang: text }), fc.jsonValue({ maxDepth: 4 })),
  n: fc.oneof(fc.double({ noNaN: true }), fc.bigInt(), fc.boolean(), fc.constant(null)),
  tags: fc.jsonValue({ maxDepth: 3 }),
  text: fc.oneof({ weight: 6, arbitrary: text }, fc.jsonValue()),
})
const style = fc.record({
  spaced: fc.boolean(),
  ascii: fc.boolean(),
  slashes: fc.boolean(),
  end: fc.constantFrom('', '\r', ' '),
})

type Style = { spaced: boolean; ascii: boolean; slashes: boolean; end: string }

function lineOf(value: object, { spaced, ascii, slashes, end }: Style): Buffer {
  // Numbers of any length, which JSON.stringify can't write.
  const marked = (_: string, it: unknown) => (typeof it === 'bigint' ? `@${it}@` : it)
  let json = JSON.stringify(value, marked, spaced ? 1 : 0).replace(/"@(-?\d+)@"/g, '$1')
  json = json.replaceAll('\n', ' ')
  if (ascii) json = json.replace(/[\x7f-\uffff]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return Buffer.from((slashes ? json.replaceAll('/', '\\/') : json) + end)
}

describe('a line that looks like the one before', () => {
  test('is read as JSON.parse reads it', () => {
    let [lines, taken] = [0, 0]
    fc.assert(
      fc.property(fc.array(record, { minLength: 2, maxLength: 12 }), style, (records, how) => {
        const written = records.map(it => lineOf(it, how))
        lines += written.length
        taken += expectAsParsed(written)
      }),
      { numRuns: 500 },
    )
    // So that it is not JSON.parse on both sides; few lines of many shapes are hard to foresee.
    expect(taken).toBeGreaterThan(lines / 4)
  })

  test('and with any damage is refused where JSON.parse refuses it', () => {
    const damage = fc.record({
      line: fc.nat(),
      at: fc.nat(),
      kind: fc.constantFrom('replace', 'insert', 'delete', 'cut', 'again'),
      byte: fc.oneof(
        fc.integer({ min: 0, max: 255 }),
        fc.constantFrom(...Buffer.from('"\\{}[]:,0-+.eE tfn/u\r\t')),
      ),
    })
    fc.assert(
      fc.property(
        fc.array(record, { minLength: 3, maxLength: 8 }),
        style,
        fc.array(damage, { minLength: 1, maxLength: 6 }),
        (records, how, damages) => {
          const lines = records.map(it => lineOf(it, how))
          for (const { line, at, kind, byte } of damages) {
            const index = line % lines.length
            const bytes = lines[index] ?? Buffer.alloc(0)
            const place = at % (bytes.length + 1)
            const rest = kind === 'insert' ? place : kind === 'again' ? Math.floor(place / 2) : place + 1
            const middle = kind === 'replace' || kind === 'insert' ? [byte] : []
            lines[index] = Buffer.concat(
              [bytes.subarray(0, place), Buffer.from(middle), kind === 'cut' ? '' : bytes.subarray(rest)].map(
                it => Buffer.from(it),
              ),
            )
          }
          expectAsParsed(lines.map(it => Buffer.from(it.filter(c => c !== 10))))
        },
      ),
      { numRuns: 1_000 },
    )
  })

  test.each([
    [
      'one with escapes',
      '{"id":"a","text":"x"}',
      String.raw`{"id":"b","text":"\"\\\/\b\f\n\r\t\u0041\u00e9\u6771\ud83d\ude00"}`,
    ],
    ['a number as id', '{"id":"a","text":"x"}', '{"id":17,"text":"y"}'],
    ['a number as it is written', '{"id":1,"text":"x"}', '{"id":-0.5e+3,"text":"y"}'],
    [
      'nested values that nobody wants',
      '{"x":[],"text":"a"}',
      '{"x":[{"a": [1, true,null, "\\"" ]} , {}],"text":"b"}',
    ],
    ['CRLF', '{"text":"a"}\r', '{"text":"b"}\r'],
    ['other languages', '{"text":"a"}', '{"text":"größe 東京 данные 😀"}'],
    [
      'a text of many blocks',
      '{"text":"a"}',
      `{"text":"${'long "text"\n 東 '.repeat(20_000).replaceAll('"', '\\"').replaceAll('\n', '\\n')}"}`,
    ],
  ])('%s is taken', (_, first, second) => {
    expect(expectAsParsed([Buffer.from(first), Buffer.from(second)])).toBe(1)
  })

  test.each([
    ['a control character', '{"id":"a","text":"x\x01"}'],
    ['a quote that ends it early', '{"id":"a","text":"x"y"}'],
    ['an escape that is none', '{"id":"a","text":"\\x41"}'],
    ['half a pair', '{"id":"a","text":"\\ud83d"}'],
    ['a number with a leading zero', '{"id":01,"text":"x"}'],
    ['a fraction without digits', '{"id":1.,"text":"x"}'],
    ['a wrong literal', '{"id":trux,"text":"x"}'],
    ['another name', '{"id":"a","test":"x"}'],
    ['a name twice', '{"id":"a","text":"x","text":"y"}'],
    ['what follows the record', '{"id":"a","text":"x"} x'],
    ['an array that is not closed', '{"id":[1,"text":"x"}'],
    ['a comma too many', '{"id":[1,],"text":"x"}'],
  ])('%s is left to JSON.parse', (_, line) => {
    expect(expectAsParsed([Buffer.from('{"id":"a","text":"x"}'), Buffer.from(line)])).toBe(0)
  })

  test('with a name twice is never predicted', () => {
    const line = Buffer.from('{"id":"a","text":"first","text":"last"}')
    expect(expectAsParsed([line, line, line])).toBe(0)
  })

  test('of ever other shapes soon costs no more than JSON.parse', () => {
    const lines = Array.from({ length: 5_000 }, (_, i) => Buffer.from(`{"id":"${i}","n${i}":1,"text":"x"}`))
    expect(expectAsParsed(lines)).toBe(0)
    expect(
      expectAsParsed([...lines, ...Array.from({ length: 5_000 }, () => lines[0] as Buffer)]),
    ).toBeGreaterThan(3_000)
  })

  test('keeps nothing of a chunk whose memory is used again', () => {
    const taker = createShapedLineParser(WANTED)
    const chunk = Buffer.from('{"id":"a","text":"one"}\n{"id":"b","text":"two"}\n')
    taker.learnShape(chunk, 0, 23)
    const records: object[] = []
    taker.parseLines(chunk, 24, chunk.length, record => records.push(record))
    const view = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    view.write('six', 42)
    taker.parseLines(view, 24, view.length, record => records.push(record))
    expect(records).toEqual([
      { id: 'b', text: 'two' },
      { id: 'b', text: 'six' },
    ])
  })
})

test('the bytes of the scanner were made from its source', () => {
  const source = readFileSync(join(import.meta.dirname, '../wasm/lines.as.ts'))
  expect(createHash('sha256').update(source).digest('hex'), 'run node packages/corpus/wasm/build.mjs').toBe(
    SOURCE_SHA256,
  )
})
