// Reply bytes to float32 rows. A base64 reply is
//
//   {"object":"list","data":[{"object":"embedding","embedding":"8J+Yig==","index":0},{ ... },{ ... }],"model": ... }
//   |------------------- head ---------------------------------|  vector  |after 0| |before 1 ...    |---- tail ----|
//
// with as many characters of base64 per vector as the dimensions ask for, so the place of each vector is known from
// the one before. What stands between two vectors is compared with what stands around the first, index by index; the
// vectors are decoded from the reply's bytes straight to their rows; and head + tail, the reply without what is
// between, is a small JSON text that JSON.parse checks. So every byte is accounted for, at a sixteenth of the cost
// of parsing numbers. Any other valid layout (spaces, floats, rows out of order) goes through JSON.parse as a whole.

import { endianness } from 'node:os'

/** Where the vectors go: `texts[i]` to row `rows[i]` of `vectors`, each row `dimensions` long. */
export interface VectorDestination {
  readonly vectors: Float32Array
  readonly dimensions: number
  readonly rows: readonly number[]
}

/** What an OpenAI-shaped reply says beside the vectors. */
export interface ReplyMetadata {
  readonly model: string | null
  readonly tokens: number | null
}

/** A reply that does not hold what was asked for. The message never quotes the body. */
export class InvalidReplyError extends Error {}

const OPEN = '"embedding":"'
const INDEX = '"index":0'
/** More than any server writes after a vector. */
const MAX_AFTER = 100

/** Decodes a reply of `POST /v1/embeddings`; throws `InvalidReplyError`. Rows may be written before it throws. */
export function decodeEmbeddings(body: Buffer, target: VectorDestination): ReplyMetadata {
  return scan(body, target) ?? decodeParsed(body, target)
}

/** The fast path; undefined when the layout is another. */
function scan(body: Buffer, { vectors, dimensions, rows }: VectorDestination): ReplyMetadata | undefined {
  const rowBytes = dimensions * 4
  const characters = Math.ceil(rowBytes / 3) * 4
  const open = body.indexOf(OPEN, 0, 'latin1')
  if (open < 0) return undefined
  let start = open + OPEN.length
  const head = body.toString('utf8', 0, start)
  const framing = framingOf(head, body.toString('latin1', start + characters, start + characters + MAX_AFTER))
  if (framing === undefined) return undefined

  const bytes = bytesOf(vectors)
  const last = rows.length - 1
  let end = start
  for (let i = 0; i <= last; i++) {
    end = start + characters
    const expected = i < last ? `${framing.after(i)},${framing.before(i + 1)}` : `${framing.after(i)}]`
    if (body.toString('latin1', end, end + expected.length) !== expected) return undefined
    // Node's decoder skips characters that are not base64, so only the length shows that all were.
    const text = body.toString('latin1', start, end)
    const written = bytes.write(text, rowAt(rows, i) * rowBytes, rowBytes, 'base64')
    if (written !== rowBytes || !text.endsWith(paddingOf(rowBytes))) {
      throw new InvalidReplyError(`the vector of input ${i} is not base64`)
    }
    start = end + expected.length
  }
  const reply = parseJson(head + body.toString('utf8', end))
  return holdsOnlyFirst(reply) ? factsOf(reply) : undefined
}

/** Whether the one entry without its vector is what `data` is left with: else the vectors were of something else. */
function holdsOnlyFirst(reply: unknown): boolean {
  const data: unknown = isRecord(reply) ? reply.data : undefined
  return Array.isArray(data) && data.length === 1 && isRecord(data[0]) && data[0].embedding === ''
}

/** What stands before and after the vector of an input. */
interface Framing {
  readonly before: (i: number) => string
  readonly after: (i: number) => string
}

/** Told from what stands around the first vector, which must have its index once, on either side. */
function framingOf(head: string, rest: string): Framing | undefined {
  const before = head.slice(head.lastIndexOf('{'))
  const after = rest.slice(0, rest.indexOf('}') + 1)
  if (!after.startsWith('"') || before.includes(INDEX) === after.includes(INDEX)) return undefined
  return { before: numbered(before), after: numbered(after) }
}

function numbered(text: string): (i: number) => string {
  const [start, end] = text.split(INDEX)
  return end === undefined ? () => text : i => `${start}"index":${i}${end}`
}

function decodeParsed(body: Buffer, target: VectorDestination): ReplyMetadata {
  const { rows } = target
  const reply = parseJson(body.toString())
  const data = isRecord(reply) ? reply.data : undefined
  if (!Array.isArray(data)) throw new InvalidReplyError('the reply has no `data`')
  if (data.length !== rows.length)
    throw new InvalidReplyError(`${data.length} vectors for ${rows.length} inputs`)
  const seen = new Set<number>()
  for (const [place, entry] of data.entries()) {
    const index: unknown = isRecord(entry) ? (entry.index ?? place) : undefined
    if (typeof index !== 'number' || rows[index] === undefined || seen.has(index)) {
      throw new InvalidReplyError(`entry ${place} has no index of its own`)
    }
    seen.add(index)
    writeRow(entry.embedding, index, target)
  }
  return factsOf(reply)
}

/** Decodes a reply of `POST /embed`, rows of numbers; throws `InvalidReplyError`. A null in a row becomes NaN. */
export function decodeNumbers(body: Buffer, target: VectorDestination): void {
  const reply = parseJson(body.toString())
  if (!Array.isArray(reply)) throw new InvalidReplyError('the reply is no array')
  if (reply.length !== target.rows.length) {
    throw new InvalidReplyError(`${reply.length} vectors for ${target.rows.length} inputs`)
  }
  for (const [i, row] of reply.entries()) writeRow(row, i, target)
}

function writeRow(row: unknown, i: number, { vectors, dimensions, rows }: VectorDestination): void {
  const offset = rowAt(rows, i) * dimensions
  if (typeof row === 'string') {
    const rowBytes = dimensions * 4
    const padded = Math.ceil(rowBytes / 3) * 4
    if (row.length !== padded && row.length !== Math.ceil((rowBytes * 4) / 3)) {
      throw new InvalidReplyError(`the vector of input ${i} is not ${dimensions} floats in base64`)
    }
    const isPadded = row.length < padded || row.endsWith(paddingOf(rowBytes))
    if (!isPadded || bytesOf(vectors).write(row, offset * 4, rowBytes, 'base64') !== rowBytes) {
      throw new InvalidReplyError(`the vector of input ${i} is not base64`)
    }
    return
  }
  if (!Array.isArray(row)) throw new InvalidReplyError(`input ${i} has no vector`)
  if (row.length !== dimensions)
    throw new InvalidReplyError(`${row.length} dimensions instead of ${dimensions}`)
  for (let d = 0; d < dimensions; d++) {
    const value: unknown = row[d]
    // serde_json writes NaN as null, and a Float32Array would take null for 0.
    if (value !== null && typeof value !== 'number')
      throw new InvalidReplyError(`a value of input ${i} is no number`)
    vectors[offset + d] = value ?? Number.NaN
  }
}

const paddingOf = (bytes: number): string => ['', '==', '='][bytes % 3] ?? ''

/** The number of dimensions of the first vector of either reply, when it is not known yet. */
export function dimensionsOf(body: Buffer): number {
  const reply = parseJson(body.toString())
  const data: unknown = isRecord(reply) ? reply.data : reply
  const first: unknown = Array.isArray(data) ? data[0] : undefined
  const vector = isRecord(first) ? first.embedding : first
  const dimensions =
    typeof vector === 'string'
      ? Buffer.byteLength(vector, 'base64') / 4
      : Array.isArray(vector)
        ? vector.length
        : 0
  if (!Number.isInteger(dimensions) || dimensions < 1) throw new InvalidReplyError('the reply has no vector')
  return dimensions
}

function factsOf(reply: unknown): ReplyMetadata {
  if (!isRecord(reply) || !Array.isArray(reply.data)) throw new InvalidReplyError('the reply has no `data`')
  const { model, usage } = reply
  const tokens = isRecord(usage) ? (usage.prompt_tokens ?? usage.total_tokens) : null
  return {
    model: typeof model === 'string' ? model : null,
    tokens: typeof tokens === 'number' && tokens > 0 ? tokens : null,
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own message quotes the text.
    throw new InvalidReplyError('the reply is not complete JSON')
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function rowAt(rows: readonly number[], i: number): number {
  const row = rows[i]
  if (row === undefined) throw new RangeError(`no row for input ${i}`)
  return row
}

/** The bytes of a Float32Array. The wire has little endian floats, as does the memory of every platform we run on. */
function bytesOf(vectors: Float32Array): Buffer {
  if (endianness() !== 'LE') throw new Error('reembed needs a little endian machine')
  return Buffer.from(vectors.buffer, vectors.byteOffset, vectors.byteLength)
}
