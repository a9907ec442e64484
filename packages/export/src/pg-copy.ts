// Rows in the binary format of PostgreSQL's COPY, which loads in a third of the time of text.
//
//   stream   'PGCOPY\n' 0xff '\r\n' 0 | flags | length of extension | rows | -1 as int16
//   row      number of fields as int16; per field: its length as int32 (-1 for null), its bytes
//   vector   dimensions as int16, 0 as int16, then float32, all big-endian (pgvector, vector_recv)
//
// https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format"

import type { CarriedValue, RefusedRow } from '@reembed/protocol'
import type { FlatColumn, ShardBatch } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import { metadataOf, type RowLimits } from './layout.ts'
import { problemOf } from './row-limits.ts'

/** First bytes of PostgreSQL's binary COPY: signature, flags, no extension. */
export const COPY_HEADER: Buffer = Buffer.concat([
  Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'),
  Buffer.alloc(8),
])
/** Last bytes of a binary COPY. */
export const COPY_TRAILER: Buffer = Buffer.of(0xff, 0xff)

export const SQL_TYPE: Record<FlatColumn['type'], string> = {
  string: 'text',
  int32: 'integer',
  int64: 'bigint',
  double: 'double precision',
  boolean: 'boolean',
}

/**
 * Limits of pgvector: of a `vector` column, and of an HNSW index over `vector` and over `halfvec`.
 */
const MAX_DIMENSIONS = 16_000
const MAX_INDEX_DIMENSIONS = { vector: 2_000, halfvec: 4_000 }

/** @throws ReembedError USAGE for vectors that no column of pgvector can hold */
export function requirePgDimensions(dimensions: number): void {
  if (dimensions <= MAX_DIMENSIONS) return
  throw new ReembedError(
    'USAGE',
    `pgvector supports at most ${MAX_DIMENSIONS} dimensions, these vectors have ${dimensions}: embed with fewer dimensions, or use another vector store`,
  )
}

/** An identifier of SQL, quoted. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** The columns of a table without an index, as `CREATE TABLE` takes them. */
export const pgColumns = (dimensions: number, extra: readonly FlatColumn[]): string[] => [
  'id text NOT NULL',
  `embedding vector(${dimensions}) NOT NULL`,
  ...extra.map(
    column => `${quoted(column.name)} ${SQL_TYPE[column.type]}${column.nullable ? '' : ' NOT NULL'}`,
  ),
]

/** The expression that the HNSW index holds, its operator class, and the operator that uses it. */
export interface PgIndex {
  readonly expression: string
  readonly operatorClass: string
  readonly operator: string
}

/**
 * The HNSW index for vectors of these dimensions: over `halfvec` where `vector` has too many;
 * undefined where pgvector can index neither. Normalized vectors use the inner product.
 */
export function pgIndexOf(dimensions: number, normalized: boolean): PgIndex | undefined {
  if (dimensions > MAX_INDEX_DIMENSIONS.halfvec) return undefined
  const type = dimensions <= MAX_INDEX_DIMENSIONS.vector ? 'vector' : 'halfvec'
  return {
    expression: type === 'vector' ? 'embedding' : `(embedding::halfvec(${dimensions}))`,
    operatorClass: `${type}_${normalized ? 'ip' : 'cosine'}_ops`,
    operator: normalized ? '<#>' : '<=>',
  }
}

/** What PostgreSQL refuses in a row. */
export const PG_LIMITS: RowLimits = {
  consumer: 'PostgreSQL',
  // An entry of a B-tree, as that of the primary key, is at most 2,704 bytes with its header.
  idBytes: 2_600,
  characters: { pattern: /\0/, name: 'the character U+0000' },
}

/**
 * The rows of a batch as COPY reads them, and the rows that PostgreSQL cannot store, each with the
 * reason.
 */
export function copyRows(
  batch: ShardBatch,
  columns: readonly FlatColumn[],
  dimensions: number,
): { readonly bytes: Buffer; readonly refused: readonly RefusedRow[] } {
  const { ids, vectors, extra } = batch
  const records = metadataOf(batch)
  const held = columns.map(column => ({ column, values: extra.get(column.name) ?? [] }))
  const bigEndian = Buffer.from(
    vectors.buffer.slice(vectors.byteOffset, vectors.byteOffset + vectors.byteLength),
  ).swap32()
  const vectorBytes = 4 * dimensions
  const refused: RefusedRow[] = []
  const kept: number[] = []
  let size = 0
  for (const [row, id] of ids.entries()) {
    const problem = problemOf({ id, record: records.next().value ?? {} }, columns, PG_LIMITS)
    if (problem === undefined) {
      kept.push(row)
      size += 2 + 8 + vectorBytes + 4 + Buffer.byteLength(id)
      for (const { column, values } of held) size += 4 + sizeOf(column, values[row] ?? null)
    } else refused.push({ id, reason: `PostgreSQL cannot store ${problem}` })
  }
  const bytes = Buffer.allocUnsafe(size)
  let at = 0
  for (const row of kept) {
    at = bytes.writeInt16BE(2 + held.length, at)
    at = writeText(bytes, ids[row] ?? '', at)
    at = bytes.writeInt32BE(4 + vectorBytes, at)
    at = bytes.writeInt16BE(dimensions, at)
    at = bytes.writeInt16BE(0, at)
    at += bigEndian.copy(bytes, at, row * vectorBytes, (row + 1) * vectorBytes)
    for (const { column, values } of held) at = writeField(bytes, column, values[row] ?? null, at)
  }
  return { bytes, refused }
}

function sizeOf({ type }: FlatColumn, value: CarriedValue): number {
  if (value === null) return 0
  if (type === 'string') return Buffer.byteLength(String(value))
  return type === 'boolean' ? 1 : type === 'int32' ? 4 : 8
}

function writeText(bytes: Buffer, text: string, at: number): number {
  const length = bytes.write(text, at + 4)
  bytes.writeInt32BE(length, at)
  return at + 4 + length
}

function writeField(bytes: Buffer, { type }: FlatColumn, value: CarriedValue, start: number): number {
  if (value === null) return bytes.writeInt32BE(-1, start)
  if (type === 'string') return writeText(bytes, String(value), start)
  const at = bytes.writeInt32BE(type === 'boolean' ? 1 : type === 'int32' ? 4 : 8, start)
  if (type === 'boolean') return bytes.writeInt8(value ? 1 : 0, at)
  if (type === 'int32') return bytes.writeInt32BE(Number(value), at)
  if (type === 'double') return bytes.writeDoubleBE(Number(value), at)
  return bytes.writeBigInt64BE(BigInt(value), at)
}
