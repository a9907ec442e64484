// Measures the CPU time of reading JSONL, against a simple reader with node:readline. Every round
// checks that all readers return the same ids and texts. Each reads every text once (its UTF-8
// length), so that no reader returns strings that V8 has yet to flatten. The bytes come from
// memory, in the chunks of a folder store and of a ReadStream. The third column is the floor for
// any reader that calls JSON.parse, on ready strings. The simple reader checks nothing; reembed
// also checks UTF-8, depth, ids and sizes, and records positions. Not measured: disk, S3, memory.
//
//   node --conditions=@reembed/source bench/source.ts [rounds]

import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { readSlice } from '@reembed/corpus'
import type { Store } from '@reembed/store'

const ROUNDS = Number(process.argv[2] ?? 15)
const STORE_CHUNK_BYTES = 256 * 1024
const READ_STREAM_CHUNK_BYTES = 64 * 1024
const FILE_BYTES = 16 * 1024 * 1024
const ENGLISH = 'the of and vector corpus embedding shard worker endpoint queue in a to is'.split(' ')
const MIXED = [...ENGLISH, 'größe', 'naïve', 'œuvre', '東京', 'данные']

interface Result {
  readonly documents: number
  readonly digest: string
}

/** Hashes every id and text length, so that a reader that returns another document is detected. */
function createCheck(): { add(id: string, text: string): void; result(): Result } {
  const hash = createHash('sha256')
  let pending = ''
  let documents = 0
  return {
    add(id, text) {
      documents += 1
      pending += `${id}:${text.length},`
      if (pending.length < 65_536) return
      hash.update(pending)
      pending = ''
    },
    result: () => ({ documents, digest: hash.update(pending).digest('hex') }),
  }
}

async function byReembed(content: Buffer): Promise<Result> {
  const check = createCheck()
  const part = {
    key: 'a',
    etag: 'e',
    size: content.length,
    format: 'jsonl',
    start: 0,
    end: content.length,
  } as const
  const store = { stream: () => chunksOf(content, STORE_CHUNK_BYTES) } as unknown as Store
  for await (const record of readSlice(store, { parts: [part] }, { fields: { id: 'id', text: 'text' } })
    .records) {
    if (record.kind === 'document') check.add(record.id, record.text)
  }
  return check.result()
}

async function byReadline(content: Buffer): Promise<Result> {
  const check = createCheck()
  const input = Readable.from(chunksOf(content, READ_STREAM_CHUNK_BYTES))
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    const { id, text } = JSON.parse(line) as { id: string; text: string }
    check.add(id, text)
  }
  return check.result()
}

function byParseAlone(lines: readonly string[]): Result {
  const check = createCheck()
  for (const line of lines) {
    const { id, text } = JSON.parse(line) as { id: string; text: string }
    check.add(id, text)
  }
  return check.result()
}

async function* chunksOf(content: Buffer, length: number): AsyncGenerator<Buffer, void, undefined> {
  for (let at = 0; at < content.length; at += length) yield content.subarray(at, at + length)
}

interface Shape {
  readonly name: string
  readonly chars: number
  readonly words: readonly string[]
  /** One word in this many is a quotation with a line break: three escapes. */
  readonly escapes: number
  /** Fields beside id and text, by the number of the line. */
  readonly beside?: (line: number) => object
  /** As Python's json.dumps writes by default. */
  readonly ascii?: boolean
}

const title = (): object => ({ title: 'a title' })
const SHAPES: readonly Shape[] = [
  { name: '200 chars', chars: 200, words: ENGLISH, escapes: 50 },
  { name: '2,000 chars', chars: 2_000, words: ENGLISH, escapes: 50 },
  { name: '2,000 chars without escapes', chars: 2_000, words: ENGLISH, escapes: Infinity },
  { name: '2,000 chars, source code', chars: 2_000, words: ENGLISH, escapes: 6 },
  { name: '2,000 chars, five scripts', chars: 2_000, words: MIXED, escapes: 50 },
  { name: '2,000 chars, five scripts as \\u', chars: 2_000, words: MIXED, escapes: 50, ascii: true },
  {
    name: '500 chars, metadata nested',
    chars: 500,
    words: ENGLISH,
    escapes: 50,
    beside: i => ({
      source: 'wiki',
      meta: { url: `https://a.b/${i}`, tags: ['a', 'b'].slice(i % 3), score: i / 7 },
    }),
  },
  {
    name: '500 chars, a field now and then',
    chars: 500,
    words: ENGLISH,
    escapes: 50,
    beside: i => (Math.imul(i, 2_654_435_761) & 0x10000 ? title() : {}),
  },
]

/** Some FILE_BYTES of records. */
function corpusOf({ chars, words, escapes, beside = title, ascii = false }: Shape): Buffer {
  let [text, seed] = ['', 1]
  while (text.length < chars * 64) {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    const word = words[(seed >>> 8) % words.length] ?? ''
    text += (seed >>> 4) % escapes === 0 ? `"${word}"\n` : `${word} `
  }
  const lines: Buffer[] = []
  for (let bytes = 0; bytes < FILE_BYTES; bytes += lines.at(-1)?.length ?? 0) {
    const at = (lines.length * 37) % (text.length - chars)
    const record = { id: `doc-${lines.length}`, ...beside(lines.length), text: text.slice(at, at + chars) }
    const json = JSON.stringify(record)
    const line = ascii
      ? json.replace(/[\x80-\uffff]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
      : json
    lines.push(Buffer.from(`${line}\n`))
  }
  return Buffer.concat(lines)
}

async function cpuMs(run: () => Promise<Result> | Result): Promise<{ ms: number; result: Result }> {
  const before = process.cpuUsage()
  const result = await run()
  const { user, system } = process.cpuUsage(before)
  return { ms: (user + system) / 1000, result }
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN

console.log('MB per CPU second                   reembed   readline   JSON.parse alone   reembed : readline')
for (const shape of SHAPES) {
  const { name } = shape
  const content = corpusOf(shape)
  const lines = content.toString().trimEnd().split('\n')
  const times: { ours: number; theirs: number; floor: number }[] = []
  for (let round = 0; round <= ROUNDS; round += 1) {
    const timed: Record<string, Awaited<ReturnType<typeof cpuMs>>> = {}
    const runs = [
      ['ours', () => byReembed(content)],
      ['theirs', () => byReadline(content)],
      ['floor', () => byParseAlone(lines)],
    ] as const
    for (const [reader, run] of round % 2 ? runs : runs.toReversed()) timed[reader] = await cpuMs(run)
    const { ours, theirs, floor } = timed
    if (!ours || !theirs || !floor) throw new Error('a reader did not run')
    if (new Set([ours, theirs, floor].map(({ result }) => result.digest)).size > 1) {
      throw new Error(`${name}: the readers disagree`)
    }
    if (ours.result.documents !== lines.length) throw new Error(`${name}: documents are missing`)
    // The first round is a warm-up.
    if (round > 0) times.push({ ours: ours.ms, theirs: theirs.ms, floor: floor.ms })
  }
  const speed = (ms: number[]): string => (content.length / 1e6 / (median(ms) / 1000)).toFixed(0)
  const cells = [
    speed(times.map(t => t.ours)).padStart(7),
    speed(times.map(t => t.theirs)).padStart(10),
    speed(times.map(t => t.floor)).padStart(18),
    median(times.map(t => t.theirs / t.ours))
      .toFixed(2)
      .padStart(20),
  ]
  console.log(`${name.padEnd(35)} ${cells.join(' ')}`)
}
