// pgvector: files for COPY in PostgreSQL's binary format, which loads in a third of the time of
// text.
//
//   file     'PGCOPY\n' 0xff '\r\n' 0 | flags | length of extension | rows | -1 as int16
//   row      number of fields as int16; per field: its length as int32 (-1 for null), its bytes
//   vector   dimensions as int16, 0 as int16, then float32, all big-endian (pgvector, vector_recv)
//
// https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format"

import type { CarriedValue } from '@reembed/protocol'
import { createShardBuffer, type FlatColumn } from '@reembed/shard'
import { ReembedError, shellWord } from '@reembed/shared'
import { type CreateExportLayout, textFile } from '../layout.ts'

const SQL_TYPE: Record<FlatColumn['type'], string> = {
  string: 'text',
  int32: 'integer',
  int64: 'bigint',
  double: 'double precision',
  boolean: 'boolean',
}

const HEADER = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)])
const TRAILER = Buffer.of(0xff, 0xff)
/**
 * Limits of pgvector: of a `vector` column, and of an HNSW index over `vector` and over `halfvec`.
 */
const MAX_DIMENSIONS = 16_000
const MAX_INDEX_DIMENSIONS = { vector: 2_000, halfvec: 4_000 }

/** An entry of a B-tree, as that of the primary key, is at most 2,704 bytes with its header. */
const MAX_KEY_BYTES = 2_600

export const pgvector: CreateExportLayout = ({ manifest, extra, name }) => {
  const { dimensions, normalized } = manifest.model
  if (dimensions > MAX_DIMENSIONS) {
    throw new ReembedError(
      'USAGE',
      `pgvector supports at most ${MAX_DIMENSIONS} dimensions, these vectors have ${dimensions}: embed with fewer dimensions, or export to another layout`,
    )
  }
  const table = quoted(name)
  const columns = [
    'id text PRIMARY KEY',
    `embedding vector(${dimensions}) NOT NULL`,
    ...extra.map(
      column => `${quoted(column.name)} ${SQL_TYPE[column.type]}${column.nullable ? '' : ' NOT NULL'}`,
    ),
  ]
  const schema = `CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE ${table} (
  ${columns.join(',\n  ')}
);
`
  const type = dimensions <= MAX_INDEX_DIMENSIONS.vector ? 'vector' : 'halfvec'
  const indexed = type === 'vector' ? 'embedding' : `embedding::halfvec(${dimensions})`
  const index =
    dimensions <= MAX_INDEX_DIMENSIONS.halfvec
      ? `CREATE INDEX ON ${table} USING hnsw (${type === 'vector' ? indexed : `(${indexed})`} ${type}_${normalized ? 'ip' : 'cosine'}_ops);\n`
      : `-- pgvector cannot index more than ${MAX_INDEX_DIMENSIONS.halfvec} dimensions: searches compare every row.\n`
  // Only the operator of the index's operator class, over the indexed expression, uses the index.
  const query = `SELECT id FROM ${table} ORDER BY ${indexed} ${normalized ? '<#>' : '<=>'} (SELECT ${indexed} FROM ${table} LIMIT 1) LIMIT 10`
  return {
    fileNames: ({ stem }) => [`data/${stem}.copy`],
    async *write({ stem }, batches) {
      const { sink, bytes } = createShardBuffer()
      sink(HEADER)
      for await (const { ids, vectors, extra: values } of batches) {
        const held = extra.map(column => ({ column, values: values.get(column.name) ?? [] }))
        for (const [row, id] of ids.entries()) {
          const fields = [
            Buffer.from(id),
            vectorField(vectors.subarray(row * dimensions, (row + 1) * dimensions)),
            ...held.map(({ column, values }) => fieldOf(column, values[row] ?? null)),
          ]
          sink(rowOf(fields))
        }
      }
      sink(TRAILER)
      yield { name: `data/${stem}.copy`, bytes: bytes() }
    },
    rowLimits: {
      consumer: 'PostgreSQL',
      idBytes: MAX_KEY_BYTES,
      characters: { pattern: /\0/, name: 'the character U+0000' },
    },
    sharedFiles: [textFile('schema.sql', schema), textFile('index.sql', index)],
    // From psql's stdin: a file name inside the command would need the quotes of SQL as well.
    loadCommands: target => `psql -f ${shellWord(`${target}/schema.sql`)}
for file in ${shellWord(target)}/data/*.copy; do psql -c ${shellWord(`\\copy ${table} FROM pstdin WITH (FORMAT binary)`)} < "$file"; done
psql -f ${shellWord(`${target}/index.sql`)}
# the ids nearest to one vector of the table:
psql -c ${shellWord(query)}`,
  }
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

function rowOf(fields: readonly (Buffer | null)[]): Buffer {
  const row = Buffer.alloc(fields.reduce((sum, field) => sum + 4 + (field?.length ?? 0), 2))
  let at = row.writeInt16BE(fields.length)
  for (const field of fields) {
    at = row.writeInt32BE(field?.length ?? -1, at)
    at += field?.copy(row, at) ?? 0
  }
  return row
}

function vectorField(vector: Float32Array): Buffer {
  const field = Buffer.alloc(4 + 4 * vector.length)
  field.writeInt16BE(vector.length)
  for (let i = 0; i < vector.length; i++) field.writeFloatBE(vector[i] ?? 0, 4 + 4 * i)
  return field
}

function fieldOf({ type }: FlatColumn, value: CarriedValue): Buffer | null {
  if (value === null) return null
  if (type === 'string') return Buffer.from(String(value))
  if (type === 'boolean') return Buffer.of(value ? 1 : 0)
  const field = Buffer.alloc(type === 'int32' ? 4 : 8)
  if (type === 'int32') field.writeInt32BE(Number(value))
  else if (type === 'double') field.writeDoubleBE(Number(value))
  else field.writeBigInt64BE(BigInt(value))
  return field
}
