// The columns of a shard: id, vector and content hash, then chunk columns, carried columns and text
// if the run has them.

import { hash } from 'node:crypto'
import type { CarriedValue, Document, Dtype, ShardLayout } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { FlatColumn, ParquetColumn } from '../parquet/columns.ts'

/** Size of a content hash in bytes. */
export const HASH_BYTES = 16

/**
 * The first 16 bytes of the SHA-256 of a text, which identify unchanged texts. A latin1 string, one
 * character for each byte: it can be a key of a Map, and a byte array for each document would cost
 * more garbage collection.
 */
export const contentHashOf = (text: string): string => hash('sha256', text, 'binary').slice(0, HASH_BYTES)

/** Encodes content hashes as the bytes of their column. */
export const encodeHashes = (hashes: readonly string[]): Uint8Array => Buffer.from(hashes.join(''), 'latin1')

const CHUNK: readonly FlatColumn[] = [
  { kind: 'flat', name: 'doc_id', type: 'string', nullable: false },
  { kind: 'flat', name: 'chunk_index', type: 'int32', nullable: false },
  { kind: 'flat', name: 'char_start', type: 'int32', nullable: false },
  { kind: 'flat', name: 'char_end', type: 'int32', nullable: false },
  { kind: 'flat', name: 'heading_path', type: 'string', nullable: true },
]

const TEXT: FlatColumn = { kind: 'flat', name: 'text', type: 'string', nullable: false }

/** Separates the headings of a heading path. */
const HEADING_SEPARATOR = ' > '

/** The columns of every shard, in this order, before all others. */
export function vectorColumns(dimensions: number, dtype: Dtype): ParquetColumn[] {
  return [
    { kind: 'flat', name: 'id', type: 'string', nullable: false },
    { kind: 'vector', name: 'embedding', element: dtype, dimensions },
    { kind: 'fixed', name: 'content_hash', bytes: HASH_BYTES },
  ]
}

/**
 * The columns that the layout adds after the columns of every shard.
 * @throws ReembedError USAGE if a carried column has the name of another column
 */
export function extraColumns({ carry = [], chunked = false, text = false }: ShardLayout = {}): FlatColumn[] {
  const columns: FlatColumn[] = [
    ...(chunked ? CHUNK : []),
    ...carry.map(({ name, type }): FlatColumn => ({ kind: 'flat', name, type, nullable: true })),
    ...(text ? [TEXT] : []),
  ]
  const taken = new Set(['id', 'embedding', 'content_hash'])
  for (const { name } of columns) {
    if (taken.has(name)) {
      throw new ReembedError(
        'USAGE',
        `two columns of the shards would be named '${name}': carry the field under another name`,
      )
    }
    taken.add(name)
  }
  return columns
}

/** The values of the extra columns: one array for each column, in the order of `extraColumns`. */
export function extraValues(documents: readonly Document[], layout: ShardLayout = {}): CarriedValue[][] {
  return extraColumns(layout).map(column => documents.map(document => extraValueOf(column, document, layout)))
}

function extraValueOf({ name }: FlatColumn, document: Document, { carry, text }: ShardLayout): CarriedValue {
  if (text && name === TEXT.name) return document.text.toWellFormed()
  if (carry?.some(column => column.name === name)) return document.carried?.[name] ?? null
  const { docId, index, charStart, charEnd, headings } = document.chunk ?? {
    docId: document.id,
    index: 0,
    charStart: 0,
    charEnd: document.text.length,
    headings: [],
  }
  switch (name) {
    case 'doc_id':
      return docId
    case 'chunk_index':
      return index
    case 'char_start':
      return charStart
    case 'char_end':
      return charEnd
    default:
      return headings.length === 0 ? null : headings.join(HEADING_SEPARATOR).toWellFormed()
  }
}
