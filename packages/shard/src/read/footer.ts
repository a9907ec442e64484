// The end of a shard: where its row groups lie, and the receipt. Read by ranges: one for the tail, a second one if
// the footer is longer than that.

import { type CarriedType, type Dtype, parseReceipt, RECEIPT_KEY, type Receipt } from '@reembed/protocol'
import { messageOf, ReembedError, sha256 } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { type ColumnChunk, parquetMetadata, type RowGroup, type SchemaElement } from 'hyparquet'
import type { FlatColumn } from '../parquet/columns.ts'

export interface ReadShardOptions {
  /** Size of the object where the caller knows it, from a LIST: saves a request. */
  readonly size?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** Bytes of the file, from `start` up to `end`. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** Where the columns of a row group lie; together they fill its span. Ids, vectors and hashes come first. */
export interface RowGroupLayout extends ByteRange {
  readonly rows: number
  readonly id: ByteRange
  readonly embedding: ByteRange
  readonly contentHash: ByteRange
  /** In the order of `ShardFooter.extra`. */
  readonly extra: readonly ByteRange[]
}

export interface ShardFooter {
  /** The shard as messages name it. */
  readonly name: string
  readonly size: number
  /** Where the body ends: everything before it is covered by `receipt.bodySha256`. */
  readonly footerStart: number
  /** Stands for the whole file: it covers the footer, and by way of the receipt the body. */
  readonly sha256: string
  readonly receipt: Receipt
  readonly dtype: Dtype
  /** The columns behind id, vector and content hash. */
  readonly extra: readonly FlatColumn[]
  readonly rowGroups: readonly RowGroupLayout[]
}

/** SHA-256 over the footer in which this value is 64 zeros: written last, so it covers all the rest. */
const FOOTER_HASH_KEY = 'reembed.footer_sha256'
const HASH_CHARS = 64
/** Between key and value stand the value's Thrift type and its length, one byte each. */
const HASH_PREFIX_BYTES = 2

const MAGIC = Buffer.from('PAR1')
/** Magic at both ends and the footer's length. */
const FRAME_BYTES = 12
const TAIL_BYTES = 64 * 1024

/**
 * Reads and verifies the footer of a shard. Nothing of it is parsed before its hash is found right.
 * @throws ReembedError CORRUPT, telling apart what is no Parquet, cut short, changed since, or not ours.
 */
export async function readFooter(
  store: Store,
  key: string,
  { size, signal }: ReadShardOptions = {},
): Promise<ShardFooter> {
  const name = `${key} in ${store.url}`
  const end = size ?? (await store.head(key, { signal }))?.size
  if (end === undefined) throw corruptShard(name, 'is missing')
  const tailStart = Math.max(0, end - TAIL_BYTES)
  const tail = asBuffer(await store.get(key, { start: tailStart, end, signal }))
  if (end < FRAME_BYTES || tail.length !== end - tailStart || !tail.subarray(-4).equals(MAGIC)) {
    const head = asBuffer(await store.get(key, { end: 4, signal }))
    throw head.equals(MAGIC)
      ? corruptShard(name, `is cut short: it has ${end} bytes, and they do not end with a Parquet footer`)
      : corruptShard(name, `is not a Parquet file${NOT_OURS_HINT}`)
  }
  // The last things in a footer of ours are the key of its hash and the name of its writer: both say so.
  if (!tail.includes('reembed')) {
    throw corruptShard(
      name,
      `is a Parquet file, but no shard of reembed: it has no ${RECEIPT_KEY}${NOT_OURS_HINT}`,
    )
  }

  const footerStart = end - 8 - tail.readUInt32LE(tail.length - 8)
  if (footerStart < 4) throw corruptShard(name, CHANGED)
  const footer =
    footerStart >= tailStart
      ? tail.subarray(footerStart - tailStart)
      : Buffer.concat([await store.get(key, { start: footerStart, end: tailStart, signal }), tail])
  const hash = hashOf(footer.subarray(0, -8))
  if (hash === undefined) throw corruptShard(name, CHANGED)
  return { name, size: end, footerStart, sha256: hash, ...parseFooter(footer, name) }
}

const NOT_OURS_HINT = ". It is somebody else's and was left as it is: move it away, and the run makes its own"
const CHANGED = 'was changed after it was written: its footer does not match the hash in it'

function parseFooter(
  footer: Buffer,
  name: string,
): Omit<ShardFooter, 'name' | 'size' | 'footerStart' | 'sha256'> {
  try {
    const { key_value_metadata, row_groups, schema } = parquetMetadata(footer, { geoparquet: false })
    const json = key_value_metadata?.find(({ key }) => key === RECEIPT_KEY)?.value ?? 'null'
    const extra = schema.slice(FIXED_SCHEMA_ELEMENTS).map(flatColumnOf)
    return {
      receipt: parseReceipt(JSON.parse(json), name),
      dtype: schema.some(({ logical_type }) => logical_type?.type === 'FLOAT16') ? 'float16' : 'float32',
      extra,
      rowGroups: row_groups.map(group => layoutOf(group, extra)),
    }
  } catch (cause) {
    if (cause instanceof ReembedError) throw cause
    throw corruptShard(name, `cannot be read by this version of reembed: ${messageOf(cause)}`, cause)
  }
}

/** The hash in the footer, or undefined if it is not the one of the footer. */
function hashOf(footer: Buffer): string | undefined {
  const key = footer.lastIndexOf(FOOTER_HASH_KEY)
  const start = key + FOOTER_HASH_KEY.length + HASH_PREFIX_BYTES
  if (key === -1 || start + HASH_CHARS > footer.length) return undefined
  const found = footer.toString('latin1', start, start + HASH_CHARS)
  const unsigned = Buffer.from(footer).fill('0', start, start + HASH_CHARS)
  return found === sha256(unsigned) ? found : undefined
}

/** Schema elements of the root, the id, the three levels of the vector, and the content hash. */
const FIXED_SCHEMA_ELEMENTS = 6

const CARRIED: Partial<Record<NonNullable<SchemaElement['type']>, CarriedType>> = {
  BYTE_ARRAY: 'string',
  INT32: 'int32',
  INT64: 'int64',
  DOUBLE: 'double',
  BOOLEAN: 'boolean',
}

function flatColumnOf({ name, type, repetition_type }: SchemaElement): FlatColumn {
  const carried = type && CARRIED[type]
  if (!carried) throw new TypeError(`its column ${name} is of type ${type}`)
  return { kind: 'flat', name, type: carried, nullable: repetition_type === 'OPTIONAL' }
}

function layoutOf({ columns, num_rows }: RowGroup, extra: readonly FlatColumn[]): RowGroupLayout {
  const column = (name: string): ByteRange =>
    spanOf(columns.find(it => it.meta_data?.path_in_schema[0] === name))
  return {
    rows: Number(num_rows),
    start: spanOf(columns[0]).start,
    end: spanOf(columns.at(-1)).end,
    id: column('id'),
    embedding: column('embedding'),
    contentHash: column('content_hash'),
    extra: extra.map(({ name }) => column(name)),
  }
}

function spanOf(chunk: ColumnChunk | undefined): ByteRange {
  if (!chunk?.meta_data) throw new TypeError('it lacks a column')
  const start = Number(chunk.meta_data.data_page_offset)
  return { start, end: start + Number(chunk.meta_data.total_compressed_size) }
}

export const corruptShard = (name: string, what: string, cause?: unknown): ReembedError =>
  new ReembedError('CORRUPT', `${name} ${what}`, { cause })

/** The same bytes with Buffer's methods. */
export const asBuffer = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength)

/** Undefined instead of a CORRUPT: what is damaged or missing can't be taken. */
export async function undefinedIfCorrupt<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result
  } catch (error) {
    if (error instanceof ReembedError && error.code === 'CORRUPT') return undefined
    throw error
  }
}
