// pgvector: files for COPY in PostgreSQL's binary format.

import { createShardBuffer } from '@reembed/shard'
import { ReembedError, shellWord } from '@reembed/shared'
import { type CreateExportLayout, inOrder, textFile } from '../layout.ts'
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
      const file = (name: string): string => `psql -X -v ON_ERROR_STOP=1 -f ${shellWord(`${target}/${name}`)}`
      // From psql's stdin: a file name inside the command would need the quotes of SQL as well.
      const copy = `for file in ${shellWord(target)}/data/*.copy; do psql -c ${shellWord(`\\copy ${table} FROM pstdin WITH (FORMAT binary)`)} < "$file"; done`
      const columns = ['id', 'embedding', ...extra.map(column => quoted(column.name))]
      const isSame = deletes === 0 && shards.length === 0
      return inOrder(
        ...(deletes === undefined
          ? [file('schema.sql'), ...(shards.length > 0 ? [copy] : []), file('index.sql')]
          : isSame
            ? []
            : applyDifference({
                target,
                table,
                columns,
                definitions: pgColumns(dimensions, extra),
                hasDeletes: deletes > 0,
                hasRows: shards.length > 0,
              })),
        '# the ids nearest to one vector of the table:',
        `psql -c ${shellWord(query)}`,
      )
    },
  }
}

interface Difference {
  readonly target: string
  readonly table: string
  readonly columns: readonly string[]
  /** The columns of a table that takes the rows. */
  readonly definitions: readonly string[]
  readonly hasDeletes: boolean
  readonly hasRows: boolean
}

/**
 * Deletes the ids of `deletes/` and writes the rows of `data/` in one transaction. Commands that
 * are run again find rows of `data/` in the table, so the rows replace those. psql opens the files
 * itself, from their folder, by names that need no quotes. Ids are read as whole lines: CSV without
 * a quote and without a delimiter, since JSON escapes those bytes.
 */
function applyDifference({ target, table, columns, definitions, hasDeletes, hasRows }: Difference): string[] {
  const print = (...sql: string[]): string => `printf '%s\\n' ${shellWord(`${sql.join(';\n')};`)}`
  const copy = (files: string, into: string, format: string): string =>
    `for file in ${files}; do printf '%s\\n' "\\\\copy ${into} FROM '$file' WITH (FORMAT ${format})"; done`
  const updates = columns.slice(1).map(name => `${name} = EXCLUDED.${name}`)
  return [
    `cd ${shellWord(target)}`,
    '{',
    print('BEGIN'),
    ...(hasDeletes
      ? [
          print('CREATE TEMP TABLE reembed_deletes (line jsonb) ON COMMIT DROP'),
          copy('deletes/*.jsonl', 'reembed_deletes', String.raw`csv, QUOTE E'\\001', DELIMITER E'\\002'`),
          print(`DELETE FROM ${table} USING reembed_deletes WHERE ${table}.id = reembed_deletes.line->>'id'`),
        ]
      : []),
    ...(hasRows
      ? [
          print(`CREATE TEMP TABLE reembed_rows (${definitions.join(', ')}) ON COMMIT DROP`),
          copy('data/*.copy', 'reembed_rows', 'binary'),
          print(
            `INSERT INTO ${table} (${columns.join(', ')}) SELECT ${columns.join(', ')} FROM reembed_rows ON CONFLICT (id) DO UPDATE SET ${updates.join(', ')}`,
          ),
        ]
      : []),
    print('COMMIT'),
    '} | psql -X -v ON_ERROR_STOP=1',
  ]
}
