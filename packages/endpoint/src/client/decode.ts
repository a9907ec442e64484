// Decodes reply bytes to float32 rows. A base64 reply is
//
//   {"object":"list","data":[{"object":"embedding","embedding":"8J+Yig==","index":0},{ ... },{ ... }],"model": ... }
//   |------------------- head ---------------------------------|  vector  |after 0| |before 1 ...    |---- tail ----|
//
// The number of base64 characters per vector follows from the dimensions, so the position of each
// vector follows from the one before. The bytes between two vectors must equal those around the
// first, except for the index. The vectors are decoded from the reply's bytes into their rows. Head
// + tail, the reply without the bytes between, is a small JSON text that JSON.parse checks. So each
// byte is checked, at a sixteenth of the cost of parsing numbers. Any other valid layout (spaces,
// floats, rows out of order) is parsed by JSON.parse as a whole.

import { endianness } from 'node:os'

/**
 * The vector of `texts[i]` is written to row `rows[i]` of `vectors`; a row has `dimensions` floats.
 */
export interface VectorDestination {
  readonly vectors: Float32Array
  readonly dimensions: number
  readonly rows: readonly number[]
}

/** The fields of an OpenAI-shaped reply other than the vectors. */
export interface ReplyMetadata {
  readonly model: string | null
  readonly tokens: number | null
}

/** A reply that does not hold the requested vectors. The message never quotes the body. */
export class InvalidReplyError extends Error {}

const OPEN = '"embedding":"'
const INDEX = '"index":0'
/** More than any server writes after a vector. */
const MAX_AFTER = 100

/**
 * Decodes a reply of `POST /v1/embeddings` into `target`. Rows may be written before it throws.
 * @throws InvalidReplyError
 */
export function decodeEmbeddings(body: Buffer, target: VectorDestination): ReplyMetadata {
  return scan(body, target) ?? decodeParsed(body, target)
}

/** The fast path; undefined for any other layout. */
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
    // Node's decoder skips characters that are not base64: only a full row proves that none was
    // skipped.
    const text = body.toString('latin1', start, end)
    const written = bytes.write(text, rowAt(rows, i) * rowBytes, rowBytes, 'base64')
    if (written !== rowBytes || !text.endsWith(paddingOf(rowBytes))) return undefined
    start = end + expected.length
  }
  const tail = body.toString('utf8', end)
  const reply = /"data"|\\/.test(tail) ? undefined : parseJson(head + tail)
  return holdsOnlyFirst(reply) ? factsOf(reply) : undefined
}

/** Whether `data` holds exactly the first entry, without its vector. */
function holdsOnlyFirst(reply: unknown): boolean {
  const data: unknown = isRecord(reply) ? reply.data : undefined
  return Array.isArray(data) && data.length === 1 && isRecord(data[0]) && data[0].embedding === ''
}

/** The text before and after the vector of an input. */
interface Framing {
  readonly before: (i: number) => string
  readonly after: (i: number) => string
}

/**
 * Derived from the text around the first vector, which must contain its index once, on one side.
 */
function framingOf(head: string, rest: string): Framing | undefined {
  // Of two members of one name, JSON.parse takes the last: the vectors must be those of `data`.
  const before = /"data":\s*\[(\{[^{]*)$/.exec(head)?.[1]
  const after = rest.slice(0, rest.indexOf('}') + 1)
  if (!after.startsWith('"') || !before || before.includes(INDEX) === after.includes(INDEX)) return undefined
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
  if (!Array.isArray(data)) throw new InvalidReplyError('the reply has no array `data`')
  if (data.length !== rows.length)
    throw new InvalidReplyError(`the reply has ${data.length} vectors for ${rows.length} inputs`)
  const seen = new Set<number>()
  for (const [place, entry] of data.entries()) {
    const index: unknown = isRecord(entry) ? (entry.index ?? place) : undefined
    if (typeof index !== 'number' || rows[index] === undefined || seen.has(index)) {
      throw new InvalidReplyError(`entry ${place} of the reply has an invalid or repeated index`)
    }
    seen.add(index)
    writeRow(entry.embedding, index, target)
  }
  return factsOf(reply)
}

/**
 * Decodes a reply of `POST /embed`, rows of numbers. A null in a row becomes NaN. @throws
 * InvalidReplyError
 */
export function decodeNumbers(body: Buffer, target: VectorDestination): void {
  const reply = parseJson(body.toString())
  if (!Array.isArray(reply)) throw new InvalidReplyError('the reply is not an array')
  if (reply.length !== target.rows.length) {
    throw new InvalidReplyError(`the reply has ${reply.length} vectors for ${target.rows.length} inputs`)
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
      throw new InvalidReplyError(`the vector of input ${i} is not valid base64`)
    }
    return
  }
  if (!Array.isArray(row)) throw new InvalidReplyError(`input ${i} has no vector`)
  if (row.length !== dimensions)
    throw new InvalidReplyError(
      `the vector of input ${i} has ${row.length} dimensions instead of ${dimensions}`,
    )
  for (let d = 0; d < dimensions; d++) {
    const value: unknown = row[d]
    // serde_json writes NaN as null, and a Float32Array would take null for 0.
    if (value !== null && typeof value !== 'number')
      throw new InvalidReplyError(`a value of the vector of input ${i} is not a number`)
    vectors[offset + d] = value ?? Number.NaN
  }
}

const paddingOf = (bytes: number): string => ['', '==', '='][bytes % 3] ?? ''

/** The dimensions of the first vector of a reply of either route. */
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

export function factsOf(reply: unknown): ReplyMetadata {
  if (!isRecord(reply) || !Array.isArray(reply.data))
    throw new InvalidReplyError('the reply has no array `data`')
  const { model, usage } = reply
  const tokens = isRecord(usage) ? (usage.prompt_tokens ?? usage.total_tokens) : null
  return {
    model: typeof model === 'string' ? model : null,
    tokens: tokenCount(tokens),
  }
}

/** More tokens than any request has. Receipts sum counts, and a sum must stay an exact integer. */
const MAX_TOKENS = 1e9

/**
 * The token count that a server reports, or null unless it is a whole number from 1 to 1e9: a proxy
 * may write anything.
 */
export const tokenCount = (value: unknown): number | null =>
  Number.isInteger(value) && Number(value) > 0 && Number(value) <= MAX_TOKENS ? Number(value) : null

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own message quotes the text.
    throw new InvalidReplyError('the reply is not complete JSON')
  }
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export function rowAt(rows: readonly number[], i: number): number {
  const row = rows[i]
  if (row === undefined) throw new RangeError(`no row for input ${i}`)
  return row
}

/** The bytes of a Float32Array. Replies hold little-endian floats. */
export function bytesOf(vectors: Float32Array): Buffer {
  if (endianness() !== 'LE') throw new Error('reembed requires a little-endian machine')
  return Buffer.from(vectors.buffer, vectors.byteOffset, vectors.byteLength)
}
