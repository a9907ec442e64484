// Reads the footer of a shard: the layout of its row groups and the receipt. One range read for the
// tail, a second one if the footer is longer.

import { type CarriedType, type Dtype, parseReceipt, RECEIPT_KEY, type Receipt } from '@reembed/protocol'
import { LIMITS, messageOf, ReembedError, sha256 } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { type ColumnChunk, parquetMetadata, type RowGroup, type SchemaElement } from 'hyparquet'
import type { FlatColumn } from '../parquet/columns.ts'

export interface ReadShardOptions {
  /**
   * Size of the object, if the caller knows it from a LIST. Saves one HEAD request. 0 is unknown:
   * the object may have been written after the LIST.
   */
  readonly size?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** Bytes of the file, from `start` to `end`, exclusive. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * Byte ranges of the columns of a row group. They fill its range; ids, vectors and hashes come
 * first.
 */
export interface RowGroupLayout extends ByteRange {
  readonly rows: number
  readonly id: ByteRange
  readonly embedding: ByteRange
  readonly contentHash: ByteRange
  /** Byte ranges of the extra columns, in the order of `ShardFooter.extra`. */
  readonly extra: readonly ByteRange[]
}

export interface ShardFooter {
  /** Name of the shard in messages. */
  readonly name: string
  readonly size: number
  /** End of the body, which `receipt.bodySha256` covers. */
  readonly footerStart: number
  /** Covers the whole file: the footer directly, and the body through the receipt. */
  readonly sha256: string
  readonly receipt: Receipt
  readonly dtype: Dtype
  /** The columns after id, vector and content hash. */
  readonly extra: readonly FlatColumn[]
  readonly rowGroups: readonly RowGroupLayout[]
}

/** Key of the SHA-256 of the footer in which this value is 64 zeros. */
export const FOOTER_HASH_KEY = 'reembed.footer_sha256'
const HASH_CHARS = 64
/** The Thrift type and the length of the value, one byte each, are between key and value. */
const HASH_PREFIX_BYTES = 2

const MAGIC = Buffer.from('PAR1')
/** Magic at both ends and the length of the footer. */
const FRAME_BYTES = 12
const TAIL_BYTES = 64 * 1024

/**
 * Reads and verifies the footer of a shard. Its metadata is parsed only after its hash matches.
 * @throws ReembedError CORRUPT for a shard that is missing, not Parquet, truncated, changed or
 * foreign, each named.
 */
export async function readFooter(
  store: Store,
  key: string,
  { size, signal }: ReadShardOptions = {},
): Promise<ShardFooter> {
  const name = `${key} in ${store.url}`
  const end = size || (await store.head(key, { signal }))?.size
  if (end === undefined) throw corruptShard(name, 'is missing')
  const tailStart = Math.max(0, end - TAIL_BYTES)
  const tail = asBuffer(await store.get(key, { start: tailStart, end, signal }))
  if (end < FRAME_BYTES || tail.length !== end - tailStart || !tail.subarray(-4).equals(MAGIC)) {
    const head = asBuffer(await store.get(key, { end: 4, signal }))
    throw head.equals(MAGIC)
      ? corruptShard(name, `is truncated: its ${end} bytes do not end with a Parquet footer`)
      : corruptShard(name, `is not a Parquet file${NOT_OURS_HINT}`)
  }
  // The footer of a shard ends with the key of its hash and the name of its writer: both contain
  // 'reembed'.
  if (!tail.includes('reembed')) {
    throw corruptShard(
      name,
      `is a Parquet file but not a shard of reembed: it has no ${RECEIPT_KEY}${NOT_OURS_HINT}`,
    )
  }

  const footerStart = end - 8 - tail.readUInt32LE(tail.length - 8)
  if (footerStart < 4) throw corruptShard(name, CHANGED)
  if (end - footerStart > LIMITS.footerBytes)
    throw corruptShard(name, `has a footer of more than ${LIMITS.footerBytes} bytes, which no shard has`)
  const footer =
    footerStart >= tailStart
      ? tail.subarray(footerStart - tailStart)
      : Buffer.concat([await store.get(key, { start: footerStart, end: tailStart, signal }), tail])
  const hash = hashOf(footer.subarray(0, -8))
  if (hash === undefined) throw corruptShard(name, CHANGED)
  return { name, size: end, footerStart, sha256: hash, ...parseFooter(footer, name) }
}

const NOT_OURS_HINT = '. Another program wrote it, and it was not changed: move it away and resume the run'
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

/** The hash in the footer; undefined if it is missing or does not match. */
function hashOf(footer: Buffer): string | undefined {
  const key = footer.lastIndexOf(FOOTER_HASH_KEY)
  const start = key + FOOTER_HASH_KEY.length + HASH_PREFIX_BYTES
  if (key === -1 || start + HASH_CHARS > footer.length) return undefined
  const found = footer.toString('latin1', start, start + HASH_CHARS)
  const unsigned = Buffer.from(footer).fill('0', start, start + HASH_CHARS)
  return found === sha256(unsigned) ? found : undefined
}

/** Schema elements of the root, the id, the vector (three levels) and the content hash. */
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
  if (!carried) throw new TypeError(`its column ${name} has the type ${type}, which is not supported`)
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
  if (!chunk?.meta_data) throw new TypeError('a column is missing')
  const start = Number(chunk.meta_data.data_page_offset)
  return { start, end: start + Number(chunk.meta_data.total_compressed_size) }
}

export const corruptShard = (name: string, what: string, cause?: unknown): ReembedError =>
  new ReembedError('CORRUPT', `${name} ${what}`, { cause })

/** A Buffer view of the same bytes. */
export const asBuffer = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength)

/** Converts the error CORRUPT to undefined, for callers that skip missing and damaged shards. */
export async function undefinedIfCorrupt<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result
  } catch (error) {
    if (error instanceof ReembedError && error.code === 'CORRUPT') return undefined
    throw error
  }
}
