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
import type { RowLimits } from './layout.ts'
import { problemsOf } from './row-limits.ts'

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
  const problems = problemsOf(batch, columns, PG_LIMITS)
  const fields = columns.map(({ name, type }): Field => ({ type, values: extra.get(name) ?? [] }))
  const vectorBytes = 4 * dimensions
  const littleEndian = Buffer.from(vectors.buffer, vectors.byteOffset, vectors.byteLength)
  // The fixed part of a row: the number of fields, the length of each, and the vector.
  let size = (ids.length - problems.size) * (2 + 4 * (2 + fields.length) + 4 + vectorBytes)
  for (const [row, id] of ids.entries())
    if (!problems.has(row)) size += Buffer.byteLength(id) + bytesOf(fields, row)
  const bytes = Buffer.allocUnsafe(size)
  // A DataView writes a number in a third of the time of the methods of Buffer.
  const view = new DataView(bytes.buffer, bytes.byteOffset, size)
  let at = 0
  for (const [row, id] of ids.entries()) {
    if (problems.has(row)) continue
    view.setInt16(at, 2 + fields.length)
    at = writeText(bytes, view, id, at + 2)
    view.setInt32(at, 4 + vectorBytes)
    view.setInt16(at + 4, dimensions)
    view.setInt16(at + 6, 0)
    at += 8
    littleEndian.copy(bytes, at, row * vectorBytes, (row + 1) * vectorBytes)
    bytes.subarray(at, at + vectorBytes).swap32()
    at += vectorBytes
    for (const { type, values } of fields) at = writeField(bytes, view, type, values[row] ?? null, at)
  }
  const refused = Array.from(problems, ([row, problem]) => ({
    id: ids[row] ?? '',
    reason: `PostgreSQL cannot store ${problem}`,
  }))
  return { bytes, refused }
}

interface Field {
  readonly type: FlatColumn['type']
  readonly values: readonly CarriedValue[]
}

/** Bytes of the values of a row besides id and vector, without their lengths. */
function bytesOf(fields: readonly Field[], row: number): number {
  let size = 0
  for (const { type, values } of fields) {
    const value = values[row] ?? null
    if (value !== null) size += type === 'string' ? Buffer.byteLength(String(value)) : BYTES[type]
  }
  return size
}

const BYTES = { boolean: 1, int32: 4, int64: 8, double: 8 } as const

function writeText(bytes: Buffer, view: DataView, text: string, at: number): number {
  const length = bytes.write(text, at + 4)
  view.setInt32(at, length)
  return at + 4 + length
}

function writeField(
  bytes: Buffer,
  view: DataView,
  type: FlatColumn['type'],
  value: CarriedValue,
  start: number,
): number {
  if (value === null) {
    view.setInt32(start, -1)
    return start + 4
  }
  if (type === 'string') return writeText(bytes, view, String(value), start)
  const at = start + 4
  view.setInt32(start, BYTES[type])
  if (type === 'boolean') view.setInt8(at, value ? 1 : 0)
  else if (type === 'int32') view.setInt32(at, Number(value))
  else if (type === 'double') view.setFloat64(at, Number(value))
  else view.setBigInt64(at, BigInt(value))
  return at + BYTES[type]
}
