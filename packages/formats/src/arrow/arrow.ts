// Arrow IPC files and streams. Both are sequences of messages; a file adds 8 bytes before them and
// a footer after.
//
//   | schema | dictionaries, if any | record batch | record batch | ...
//   |<------- prefix ------------->|
//
// Each record batch is decoded together with the prefix, as a small stream. Memory: one batch.

import { zstdDecompressSync } from 'node:zlib'
import type { CarriedType, PartRead, SlicePart, SourceObject, SourceRecord } from '@reembed/protocol'
import { createMemo, decompressLz4Frame, LIMITS, type Memo, messageOf, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import {
  CompressionType,
  compressionRegistry,
  DataType,
  type Field,
  Message,
  MessageHeader,
  type Schema,
  type Table,
  tableFromIPC,
  type Vector,
} from 'apache-arrow'
import { Footer } from 'apache-arrow/ipc/metadata/file'
import type { ObjectIndex } from '../inspect/object-facts.ts'
import type { ReadPartOptions } from '../record-mapper.ts'
import { pathSegments } from '../value/field.ts'
import { requireOne } from '../value/one-name.ts'
import { checkFooter, checkMessage, UnsupportedColumn } from './arrow-metadata.ts'
import { type CellReader, cellsOf } from './arrow-values.ts'

const FILE_MAGIC = 'ARROW1'
const FEATHER_1_MAGIC = 'FEA1'
const MAGIC_BYTES = 8
const CONTINUATION = 0xffffffff
/** Size of the read for the metadata of a message. Longer metadata takes a second read. */
const HEAD_BYTES = 4 * 1024
const MAX_METADATA_BYTES = LIMITS.arrowMetadataBytes
/**
 * A batch is held compressed, decompressed and as records, in a process of 512 MiB. Writers make
 * some thousand rows.
 */
const MAX_BATCH_BYTES = LIMITS.arrowBatchBytes
/** An id and a text take at least eight bytes a row. */
const MAX_BATCH_ROWS = MAX_BATCH_BYTES / 8
const SMALLER = 'write it with smaller batches (max_chunksize of write_table in pyarrow)'
const ROWS_AT_ONCE = 8_192

/**
 * Bytes to which the buffers of the current batch may still unpack. Decoding is synchronous: one
 * batch at a time.
 */
let room = MAX_BATCH_BYTES
const within = (unpack: (bytes: Uint8Array, most: number) => Uint8Array) => ({
  decode(bytes: Uint8Array): Uint8Array {
    try {
      const unpacked = unpack(bytes, room)
      room -= unpacked.length
      return unpacked
    } catch (cause) {
      if (Object(cause).code !== 'ERR_BUFFER_TOO_LARGE') throw cause
      throw new Error(`a batch unpacks to more than ${MAX_BATCH_BYTES} bytes: ${SMALLER}`, { cause })
    }
  },
})
compressionRegistry.set(
  CompressionType.ZSTD,
  within((bytes, most) => zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, most) })),
)
compressionRegistry.set(CompressionType.LZ4_FRAME, within(decompressLz4Frame))

type ObjectName = Pick<SourceObject, 'key' | 'etag' | 'size'>

interface IpcMessage {
  readonly start: number
  readonly end: number
  readonly type: MessageHeader
  /** Number of rows of a record batch. */
  readonly rows: number
}

/** Counts rows and finds split points by the metadata of each message: a few KiB for each batch. */
export async function indexArrow(
  store: Store,
  object: SourceObject,
  signal?: AbortSignal,
): Promise<ObjectIndex> {
  const splitPoints: { start: number; seek: { objectOffset: number; contentOffset: number } }[] = []
  let rows = 0
  for await (const message of messages(store, object, { signal })) {
    if (message.type === MessageHeader.DictionaryBatch && rows > 0) {
      throw sourceFormatError(
        object.key,
        'changes its dictionaries between batches, which is not supported: write it as Parquet',
      )
    }
    if (message.type !== MessageHeader.RecordBatch) continue
    if (message.end - message.start > MAX_BATCH_BYTES) {
      throw sourceFormatError(
        object.key,
        `has a batch of ${message.end - message.start} bytes, the limit is ${MAX_BATCH_BYTES}: ${SMALLER}`,
      )
    }
    splitPoints.push({ start: rows, seek: { objectOffset: message.start, contentOffset: rows } })
    rows += message.rows
  }
  return { extent: rows, splitPoints }
}

/** Yields the records of a part and returns the range read. */
export async function* readArrow(
  store: Store,
  part: SlicePart,
  { index, mapper, signal }: ReadPartOptions,
): AsyncGenerator<SourceRecord[], PartRead, undefined> {
  const { key, etag, start, end } = part
  let row = start
  for await (const rows of arrowRows(store, part, { paths: mapper.paths, signal })) {
    yield rows.map(record => {
      const position = { part: index, offset: row, line: row - start + 1 }
      row += 1
      return mapper.map(record, position)
    })
  }
  if (row !== end)
    throw new ReembedError('CORRUPT', `${JSON.stringify(key)} ended at row ${row}, expected ${end}`)
  return { key, etag, start, end: row, lines: row - start }
}

/** Yields the rows as records with one member for each path, at most ROWS_AT_ONCE at a time. */
export async function* arrowRows(
  store: Store,
  {
    seek = { objectOffset: 0, contentOffset: 0 },
    ...part
  }: ObjectName & Pick<SlicePart, 'start' | 'end' | 'seek'>,
  { paths, signal }: { readonly paths?: readonly string[]; readonly signal?: AbortSignal | undefined },
): AsyncGenerator<Record<string, unknown>[], void, undefined> {
  const { key, start, end } = part
  const prefix = await prefixOf(store, part, signal)
  let row = seek.contentOffset
  for await (const message of messages(store, part, {
    from: Math.max(seek.objectOffset, prefix.end),
    signal,
  })) {
    if (message.type !== MessageHeader.RecordBatch) continue
    const from = Math.max(0, start - row)
    const to = Math.min(message.rows, end - row)
    row += message.rows
    if (from < to) {
      const table = decode(key, await readBatch(store, part, prefix.bytes, message, signal))
      for (let at = from; at < to; at += ROWS_AT_ONCE) {
        yield rowsOf(key, table, paths, at, Math.min(to, at + ROWS_AT_ONCE))
      }
    }
    if (row >= end) return
  }
}

/** The columns of an object and the types in which they are carried. */
export async function arrowColumns(
  store: Store,
  object: ObjectName,
  signal?: AbortSignal,
): Promise<Map<string, CarriedType>> {
  const { bytes } = await prefixOf(store, object, signal)
  const { schema } = decode(object.key, bytes)
  return new Map(schema.fields.map(({ name, type }) => [name, carriedTypeOf(type)]))
}

function carriedTypeOf(type: DataType): CarriedType {
  if (DataType.isDictionary(type)) return carriedTypeOf(type.dictionary)
  if (DataType.isBool(type)) return 'boolean'
  if (DataType.isFloat(type)) return 'double'
  if (!DataType.isInt(type)) return 'string'
  if (type.bitWidth === 64) return type.isSigned ? 'int64' : 'string'
  return type.bitWidth === 32 && !type.isSigned ? 'int64' : 'int32'
}

/** Reads prefix and batch into one buffer: at the limit, memory has no room for a second copy. */
async function readBatch(
  store: Store,
  { key, etag }: ObjectName,
  prefix: Uint8Array,
  { start, end }: IpcMessage,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const size = prefix.length + end - start
  if (size > MAX_BATCH_BYTES) {
    throw sourceFormatError(
      key,
      `has a batch of ${size} bytes with its dictionaries, the limit is ${MAX_BATCH_BYTES}: ${SMALLER}`,
    )
  }
  const bytes = Buffer.allocUnsafe(size)
  bytes.set(prefix)
  let at = prefix.length
  for await (const chunk of store.stream(key, { start, end, ifMatch: etag, signal })) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes.subarray(0, at)
}

function decode(key: string, bytes: Uint8Array): Table {
  try {
    room = MAX_BATCH_BYTES
    return tableFromIPC(bytes)
  } catch (cause) {
    throw sourceFormatError(key, `is damaged (${messageOf(cause)})`, cause)
  }
}

function rowsOf(
  key: string,
  table: Table,
  paths: readonly string[] = table.schema.fields.map(({ name }) => name),
  from: number,
  to: number,
): Record<string, unknown>[] {
  const columns = paths.flatMap(path => {
    const column = path === '__proto__' ? null : columnAt(key, table, path)
    return column ? [{ path, read: readerOf(key, path, column) }] : []
  })
  const rows: Record<string, unknown>[] = []
  for (let row = from; row < to; row++) {
    const record: Record<string, unknown> = {}
    for (const { path, read } of columns) record[path] = valueAt(key, read, row)
    rows.push(record)
  }
  return rows
}

function readerOf(key: string, path: string, { vector, field, parents }: Column): CellReader {
  try {
    const read = cellsOf(vector, field)
    // Where a struct is null, the buffers of its members hold anything.
    return parents.length === 0
      ? read
      : row => (parents.every(parent => parent.isValid(row)) ? read(row) : null)
  } catch (cause) {
    throw sourceFormatError(key, `has a column ${JSON.stringify(path)} whose ${messageOf(cause)}`, cause)
  }
}

/** apache-arrow follows offsets and views only when a value is read, so damage shows here. */
function valueAt(key: string, read: CellReader, row: number): unknown {
  try {
    return read(row)
  } catch (cause) {
    throw sourceFormatError(key, `is damaged in row ${row} of a batch (${messageOf(cause)})`, cause)
  }
}

interface Column {
  readonly vector: Vector
  readonly field: Field | undefined
  /** The structs around it. */
  readonly parents: readonly Vector[]
}

function columnAt(key: string, table: Table, path: string): Column | null {
  const own = childOf(key, table, path)
  if (own) return own
  const [first = '', ...rest] = pathSegments(path)
  return rest.reduce<Column | null>(
    (column, step) => column && memberOf(key, column, step),
    childOf(key, table, first),
  )
}

function childOf(key: string, table: Table, name: string): Column | null {
  const vector = table.getChild(name)
  return vector && { vector, field: fieldOf(key, table.schema.fields, name), parents: [] }
}

function memberOf(key: string, { vector, parents }: Column, name: string): Column | null {
  const member = vector.getChild(name)
  return (
    member && {
      vector: member,
      field: fieldOf(key, vector.type.children ?? [], name),
      parents: [...parents, vector],
    }
  )
}

function fieldOf(key: string, fields: readonly Field[], name: string): Field | undefined {
  const names = fields.map(field => field.name)
  requireOne(key, names, name)
  return fields[names.indexOf(name)]
}

interface Prefix {
  readonly bytes: Uint8Array
  readonly end: number
}

/** Prefixes that are cached for each store. */
const KEPT_PREFIXES = 16
const kept = new WeakMap<Store, Memo<string, Prefix>>()

function prefixOf(store: Store, object: ObjectName, signal: AbortSignal | undefined): Promise<Prefix> {
  const prefixes = kept.get(store) ?? createMemo<string, Prefix>({ max: KEPT_PREFIXES })
  kept.set(store, prefixes)
  return prefixes.get(`${object.key} ${object.etag}`, () => readPrefix(store, object, signal))
}

async function readPrefix(
  store: Store,
  object: ObjectName,
  signal: AbortSignal | undefined,
): Promise<Prefix> {
  let first: MessageHeader | undefined
  let end = 0
  let bytes = 0
  const ranges: { readonly start: number; readonly end: number }[] = []
  for await (const message of messages(store, object, { signal })) {
    if (message.type === MessageHeader.RecordBatch) break
    first ??= message.type
    ranges.push(message)
    end = message.end
    bytes += message.end - message.start
    if (bytes > MAX_BATCH_BYTES)
      throw sourceFormatError(
        object.key,
        `has dictionaries of over ${MAX_BATCH_BYTES} bytes: write it as Parquet`,
      )
  }
  const { key, etag } = object
  const between: Uint8Array[] = []
  for (const { start, end } of ranges)
    between.push(await store.get(key, { start, end, ifMatch: etag, signal }))
  if (first === MessageHeader.Schema) return { bytes: Buffer.concat(between), end }
  // The blocks of a file are dictionaries and batches: its footer has the schema.
  const footer = await footerOf(store, object, signal)
  if (footer === undefined) {
    throw sourceFormatError(
      object.key,
      'is not a complete Arrow IPC file: it has neither a schema nor a footer',
    )
  }
  // The batches of a file may precede its dictionaries.
  return { bytes: Buffer.concat([footer.schemaMessage, ...between]), end: 0 }
}

interface FileFooter {
  /** The schema as a message. */
  readonly schemaMessage: Buffer
  /** Dictionaries, then record batches, each in the order of the file. */
  readonly blocks: readonly Block[]
}

interface Block {
  readonly start: number
  readonly end: number
  readonly metadataBytes: number
}

const footers = new WeakMap<Store, Memo<string, FileFooter | undefined>>()

/** The footer of a file; undefined for a stream, and for a file that lacks it. */
function footerOf(
  store: Store,
  object: ObjectName,
  signal: AbortSignal | undefined,
): Promise<FileFooter | undefined> {
  const known = footers.get(store) ?? createMemo<string, FileFooter | undefined>({ max: KEPT_PREFIXES })
  footers.set(store, known)
  return known.get(`${object.key} ${object.etag}`, () => readFooter(store, object, signal))
}

/**
 * Files are read by their footer: it is the only place where files of apache-arrow for JavaScript
 * have their schema, and polars writes bytes between the messages that are no messages.
 */
async function readFooter(
  store: Store,
  object: ObjectName,
  signal: AbortSignal | undefined,
): Promise<FileFooter | undefined> {
  const { key, size } = object
  const tail = await read(store, object, Math.max(0, size - TAIL_BYTES), TAIL_BYTES, signal)
  const length = tail.length === TAIL_BYTES ? tail.readInt32LE(0) : 0
  const start = size - TAIL_BYTES - length
  if (tail.toString('latin1', 4) !== FILE_MAGIC || length <= 0 || start < MAGIC_BYTES) return undefined
  const bytes = new Uint8Array(await read(store, object, start, length, signal))
  try {
    checkFooter(bytes)
    const footer = Footer.decode(bytes)
    const blocks = [...footer.dictionaryBatches(), ...footer.recordBatches()].map(
      ({ offset, metaDataLength, bodyLength }): Block => ({
        start: Number(offset),
        end: Number(offset) + metaDataLength + Number(bodyLength),
        metadataBytes: metaDataLength,
      }),
    )
    for (const { start: from, end, metadataBytes } of blocks) {
      if (!(from >= MAGIC_BYTES && metadataBytes > 0 && end <= start && end >= from + metadataBytes))
        throw new RangeError(`it names a block at bytes ${from} to ${end} of ${size}`)
    }
    return { schemaMessage: encodeSchema(footer.schema), blocks }
  } catch (cause) {
    if (cause instanceof UnsupportedColumn) throw sourceFormatError(key, cause.message, cause)
    throw sourceFormatError(key, `has a damaged footer (${messageOf(cause)})`, cause)
  }
}

function encodeSchema(schema: Schema): Buffer {
  const metadata = Message.encode(Message.from(schema, 0))
  const padded = Math.ceil(metadata.length / 8) * 8
  const message = Buffer.alloc(8 + padded)
  message.writeUInt32LE(CONTINUATION, 0)
  message.writeInt32LE(padded, 4)
  message.set(metadata, 8)
  return message
}

/** Length of the footer, then the magic. */
const TAIL_BYTES = 10

/** Yields the messages from byte `from` on. Reads only their metadata. */
async function* messages(
  store: Store,
  object: ObjectName,
  { from = 0, signal }: { readonly from?: number; readonly signal?: AbortSignal | undefined },
): AsyncGenerator<IpcMessage, void, undefined> {
  const footer = await footerOf(store, object, signal)
  if (footer === undefined) return yield* messagesInOrder(store, object, { from, signal })
  for (const { start, end, metadataBytes } of footer.blocks) {
    if (start < from) continue
    const head = await read(store, object, start, Math.min(metadataBytes, MAX_METADATA_BYTES), signal)
    const frame = frameOf(object.key, head)
    if (frame === undefined || head.length < frame.end) throw cutOff(object.key, start)
    const { type, rows } = describe(object.key, head.subarray(frame.start, frame.end))
    yield { start, end, type, rows }
  }
}

const read = async (
  store: Store,
  { key, etag, size }: ObjectName,
  start: number,
  bytes: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> =>
  Buffer.from(await store.get(key, { start, end: Math.min(size, start + bytes), ifMatch: etag, signal }))

/** The metadata of a message behind its length; undefined for the end of a stream. */
function frameOf(key: string, head: Buffer): { readonly start: number; readonly end: number } | undefined {
  // Writers before Arrow 0.15 wrote no continuation marker before the length.
  const marked = head.readUInt32LE(0) === CONTINUATION
  const start = marked ? 8 : 4
  const length = head.readInt32LE(marked ? 4 : 0)
  if (length === 0) return undefined
  if (length < 0 || length > MAX_METADATA_BYTES)
    throw sourceFormatError(key, 'is not an Arrow IPC file, or is damaged')
  return { start, end: start + length }
}

/** The messages of a stream, or of a file without its footer, one behind the other. */
async function* messagesInOrder(
  store: Store,
  object: ObjectName,
  { from, signal }: { readonly from: number; readonly signal: AbortSignal | undefined },
): AsyncGenerator<IpcMessage, void, undefined> {
  const { key, size } = object
  const get = (start: number, bytes: number): Promise<Buffer> => read(store, object, start, bytes, signal)
  let at = from
  let head = await get(at, HEAD_BYTES)
  if (at === 0 && head.toString('latin1', 0, 4) === FEATHER_1_MAGIC) {
    throw sourceFormatError(
      key,
      'is a Feather file of version 1, which is not supported: write it as Arrow IPC',
    )
  }
  if (at === 0 && head.toString('latin1', 0, FILE_MAGIC.length) === FILE_MAGIC) {
    at = MAGIC_BYTES
    head = head.subarray(MAGIC_BYTES)
  }
  while (at < size) {
    // Writers before Arrow 0.15 end a stream with four bytes.
    if (head.length < 4 || (head.length < 8 && head.readInt32LE(0) !== 0)) throw cutOff(key, at)
    const frame = frameOf(key, head)
    if (frame === undefined) return
    if (head.length < frame.end) head = await get(at, frame.end)
    if (head.length < frame.end) throw cutOff(key, at)
    const { type, rows, bodyBytes } = describe(key, head.subarray(frame.start, frame.end))
    const end = at + frame.end + bodyBytes
    if (end > size) throw cutOff(key, at)
    yield { start: at, end, type, rows }
    at = end
    head = at < size ? await get(at, HEAD_BYTES) : head
  }
}

function describe(key: string, metadata: Buffer): { type: MessageHeader; rows: number; bodyBytes: number } {
  try {
    // A copy: flatbuffers requires aligned bytes.
    const bytes = new Uint8Array(metadata)
    checkMessage(bytes)
    const message = Message.decode(bytes)
    const bodyBytes = Number(message.bodyLength)
    const rows = message.isRecordBatch() ? Number(message.header().length) : 0
    if (!(bodyBytes >= 0 && Number.isSafeInteger(bodyBytes)))
      throw new RangeError('a message has an invalid length')
    if (!(rows >= 0 && rows <= MAX_BATCH_ROWS)) {
      throw new RangeError(`a batch claims ${rows} rows, the limit is ${MAX_BATCH_ROWS}`)
    }
    return { type: message.headerType, rows, bodyBytes }
  } catch (cause) {
    if (cause instanceof UnsupportedColumn) throw sourceFormatError(key, cause.message, cause)
    throw sourceFormatError(key, `is not an Arrow IPC file, or is damaged (${messageOf(cause)})`, cause)
  }
}

const cutOff = (key: string, at: number): ReembedError =>
  sourceFormatError(key, `is truncated: the Arrow message at byte ${at} is incomplete`)

const sourceFormatError = (key: string, what: string, cause?: unknown): ReembedError =>
  new ReembedError('SOURCE_FORMAT', `${JSON.stringify(key)} ${what}`, { cause })
