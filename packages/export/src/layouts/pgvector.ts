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
    loadCommands(target, { shards, deletes }) {
      // From psql's stdin: a file name inside the command would need the quotes of SQL as well.
      const copy = `for file in ${shellWord(target)}/data/*.copy; do psql -c ${shellWord(`\\copy ${table} FROM pstdin WITH (FORMAT binary)`)} < "$file"; done`
      const before = deletes === undefined ? [`psql -f ${shellWord(`${target}/schema.sql`)}`] : []
      const after = deletes === undefined ? [`psql -f ${shellWord(`${target}/index.sql`)}`] : []
      return [
        ...before,
        ...(deletes ? [deleteIds(table, target)] : []),
        ...(shards.length > 0 ? [copy] : []),
        ...after,
        '# the ids nearest to one vector of the table:',
        `psql -c ${shellWord(query)}`,
      ].join('\n')
    },
  }
}

/**
 * Deletes the ids of `deletes/` in one session, which a temporary table lives in. The lines are
 * read whole, as CSV without a quote and without a delimiter: JSON escapes those bytes.
 */
function deleteIds(table: string, target: string): string {
  const copy = String.raw`\copy reembed_deletes FROM pstdin WITH (FORMAT csv, QUOTE E'\001', DELIMITER E'\002')`
  const commands = [
    'CREATE TEMP TABLE reembed_deletes (line jsonb)',
    copy,
    `DELETE FROM ${table} USING reembed_deletes WHERE id = line->>'id'`,
  ]
  return `cat ${shellWord(target)}/deletes/*.jsonl | psql -v ON_ERROR_STOP=1 ${commands.map(command => `-c ${shellWord(command)}`).join(' ')}`
}
