// pgvector: files for COPY in PostgreSQL's binary format.

import { createShardBuffer } from '@reembed/shard'
import { ReembedError, shellWord } from '@reembed/shared'
import { type CreateExportLayout, textFile } from '../layout.ts'
import {
  COPY_HEADER,
  COPY_TRAILER,
  copyRows,
  PG_LIMITS,
  pgColumns,
  pgIndexOf,
  quoted,
  requirePgDimensions,
} from '../pg-copy.ts'

export const pgvector: CreateExportLayout = ({ manifest, extra, name }) => {
  const { dimensions, normalized } = manifest.model
  requirePgDimensions(dimensions)
  const table = quoted(name)
  const schema = `CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE ${table} (
  ${pgColumns(dimensions, extra).join(',\n  ')},
  PRIMARY KEY (id)
);
`
  const index = pgIndexOf(dimensions, normalized)
  const indexSql = index
    ? `CREATE INDEX ON ${table} USING hnsw (${index.expression} ${index.operatorClass});\n`
    : '-- pgvector cannot index so many dimensions: searches compare every row.\n'
  // Only the operator of the index's operator class, over the indexed expression, uses the index.
  const { expression, operator } = index ?? {
    expression: 'embedding',
    operator: normalized ? '<#>' : '<=>',
  }
  const query = `SELECT id FROM ${table} ORDER BY ${expression} ${operator} (SELECT ${expression} FROM ${table} LIMIT 1) LIMIT 10`
  return {
    fileNames: ({ stem }) => [`data/${stem}.copy`],
    async *write({ stem }, batches) {
      const { sink, bytes } = createShardBuffer()
      sink(COPY_HEADER)
      for await (const batch of batches) {
        const { bytes: rows, refused } = copyRows(batch, extra, dimensions)
        // The export has checked all rows before.
        const [first] = refused
        if (first) throw new ReembedError('INTERNAL', `document ${first.id} was not checked: ${first.reason}`)
        sink(rows)
      }
      sink(COPY_TRAILER)
      yield { name: `data/${stem}.copy`, bytes: bytes() }
    },
    rowLimits: PG_LIMITS,
    sharedFiles: [textFile('schema.sql', schema), textFile('index.sql', indexSql)],
    // From psql's stdin: a file name inside the command would need the quotes of SQL as well.
    loadCommands: target => `psql -f ${shellWord(`${target}/schema.sql`)}
for file in ${shellWord(target)}/data/*.copy; do psql -c ${shellWord(`\\copy ${table} FROM pstdin WITH (FORMAT binary)`)} < "$file"; done
psql -f ${shellWord(`${target}/index.sql`)}
# the ids nearest to one vector of the table:
psql -c ${shellWord(query)}`,
  }
}
