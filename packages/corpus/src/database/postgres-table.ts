// A table or view of PostgreSQL as a corpus: what its columns are, a sample of its rows, and all
// rows of one snapshot, each as a line of JSON that PostgreSQL writes.
//
// A decimal is sent as text, because JSON would lose its scale. A binary value has no exact text.

import { MAX_RECORD_BYTES } from '@reembed/formats'
import { ReembedError } from '@reembed/shared'
import type { Client } from 'pg'
import { importPackage, inSnapshot, type SnapshotReader } from './connection.ts'
import { type CopiedRow, readCopiedRows } from './copy-rows.ts'
import {
  SAMPLE_BYTES,
  SAMPLE_ROWS,
  type TableReader,
  type TableRow,
  type TableSample,
  topFieldOf,
} from './table-reader.ts'

interface Column {
  readonly name: string
  /** Of a domain the type below it, of an array that of its elements. */
  readonly type: string
  readonly isList: boolean
  readonly isReadable: boolean
}

interface Catalog {
  /** Schema and name, quoted. */
  readonly relation: string
  readonly isSampled: boolean
  readonly columns: readonly Column[]
  readonly estimatedRows: number
}

/** Binary, and text that depends on the locale of the server. */
const INEXACT: ReadonlySet<string> = new Set(['bytea', 'money'])
/** Of a key; a longer id is a reject, and its row is in memory once. */
const KEY_CHARACTERS = 1_025
/** Types without an order. */
const UNORDERED: ReadonlySet<string> = new Set(['json', 'xml', 'point', 'box', 'line', 'path', 'polygon'])

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/**
 * Opens `postgres://user@host/database?table=name`; PGPASSWORD and ~/.pgpass apply. Reads the
 * catalog and a sample; no connection stays open.
 * @throws ReembedError USAGE, SOURCE_NOT_FOUND, SOURCE_EMPTY, STORE_ACCESS_DENIED,
 * STORE_UNREACHABLE
 */
export async function openPostgresTable(url: string, signal?: AbortSignal): Promise<TableReader> {
  const { server, address, name } = partsOf(url)
  let catalog: Catalog | undefined
  let sample: TableSample = { lines: NO_KEY, rows: 0, isWhole: true }
  const opening = inSnapshot(
    server,
    address,
    async function* ({ client }) {
      catalog = await readCatalog(client, name, address)
      sample = await readSample(client, catalog)
      yield
    },
    signal,
  )
  for await (const _ of opening);
  const { relation, columns, estimatedRows } = catalog ?? noTable(name, address)
  if (sample.rows === 0) {
    throw new ReembedError(
      'SOURCE_EMPTY',
      `There is nothing to embed: the table '${name}' at ${address} has no rows`,
      {
        option: 'source',
      },
    )
  }
  const columnOf = (path: string): Column | undefined => {
    const first = topFieldOf(path)
    return columns.find(column => column.name === path) ?? columns.find(column => column.name === first)
  }
  return {
    format: 'postgres',
    address,
    name,
    readsSnapshot: true,
    estimatedRows: sample.isWhole ? sample.rows : Math.max(estimatedRows, sample.rows + 1),
    sample,
    requireColumn(path, option) {
      const column = columnOf(path)
      if (column === undefined) {
        const names = columns.map(each => JSON.stringify(each.name)).join(', ')
        throw new ReembedError(
          'FIELD_NOT_FOUND',
          `the table '${name}' at ${address} has no column ${JSON.stringify(path)}; its columns are ${names}`,
          { option },
        )
      }
      if (!column.isReadable) {
        throw new ReembedError(
          'STORE_ACCESS_DENIED',
          `${address} denies reading the column ${JSON.stringify(column.name)} of '${name}': grant SELECT on it`,
          { option: 'source' },
        )
      }
      if (INEXACT.has(column.type)) {
        throw new ReembedError(
          'USAGE',
          `the column ${JSON.stringify(column.name)} of '${name}' at ${address} has the type ${column.type}${column.isList ? '[]' : ''}, which has no exact text: read a view that converts it`,
          { option },
        )
      }
    },
    rows(paths, { key, onSnapshot, signal: stop }) {
      const read = columns.filter(column => [...paths].some(path => columnOf(path) === column))
      const by = columnOf(key)
      return inSnapshot(
        server,
        address,
        ({ client, snapshot }: SnapshotReader) => {
          onSnapshot(snapshot)
          return copyRows(client, selectOf(relation, read, by))
        },
        stop,
      )
    },
  }
}

function partsOf(url: string): { server: string; address: string; name: string } {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  const name = parsed?.searchParams.get('table')
  // A '/', '?' or '#' of a password that is not encoded ends the host early: the beginning of the
  // password is then its port.
  const isCut = parsed?.pathname.includes('@') || (!name && /@/.test(`${parsed?.search}${parsed?.hash}`))
  if (parsed === undefined || isCut) {
    throw new ReembedError(
      'USAGE',
      'the URL of the source is invalid: percent-encode special characters of user and password',
      { option: 'source' },
    )
  }
  const { hostname, port, pathname } = parsed
  const address = `postgres://${hostname || 'localhost'}:${port || '5432'}${pathname}`
  if (!name) {
    throw new ReembedError('USAGE', `the source ${address} names no table: add ?table=<name> to its URL`, {
      option: 'source',
    })
  }
  parsed.searchParams.delete('table')
  return { server: parsed.href, address, name }
}

function noTable(name: string, address: string): never {
  throw new ReembedError(
    'SOURCE_NOT_FOUND',
    `${address} has no table or view '${name}': check its name and schema`,
    {
      option: 'source',
    },
  )
}

async function readCatalog(client: Client, name: string, address: string): Promise<Catalog> {
  // A name with quotes is SQL; else dots separate the schema from the name.
  const relation = name.includes('"') ? name : name.split('.').map(quoted).join('.')
  const found = await client.query<{
    relation: string
    kind: string
    column: string
    type: string
    list: boolean
    readable: boolean
  }>(
    `WITH RECURSIVE types (attnum, oid, list) AS (
       SELECT attnum, atttypid, false FROM pg_attribute WHERE attrelid = to_regclass($1)
       UNION ALL
       SELECT attnum, CASE typtype WHEN 'd' THEN typbasetype ELSE typelem END, list OR typtype <> 'd'
       FROM types JOIN pg_type USING (oid) WHERE typtype = 'd' OR typcategory = 'A')
     SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS relation, c.relkind AS kind,
       a.attname AS column, b.typname AS type, t.list, has_column_privilege(c.oid, a.attnum, 'SELECT') AS readable
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       JOIN types t ON t.attnum = a.attnum
       JOIN pg_type b ON b.oid = t.oid AND b.typtype <> 'd' AND b.typcategory <> 'A'
     WHERE c.oid = to_regclass($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY a.attnum`,
    [relation],
  )
  const [first] = found.rows
  if (first === undefined) return noTable(name, address)
  const columns = found.rows.map(({ column, type, list, readable }) => ({
    name: column,
    type,
    isList: list,
    isReadable: readable,
  }))
  if (!columns.some(({ isReadable }) => isReadable)) {
    throw new ReembedError(
      'STORE_ACCESS_DENIED',
      `${address} denies reading the table '${name}': grant SELECT on it to the user of the source`,
      { option: 'source' },
    )
  }
  const { rows } = await client.query(`EXPLAIN (FORMAT JSON) SELECT 1 FROM ${first.relation}`)
  const estimated = Number(rows[0]?.['QUERY PLAN']?.[0]?.Plan?.['Plan Rows'] ?? 0)
  return {
    relation: first.relation,
    isSampled: /^[rmp]$/.test(first.kind),
    columns,
    estimatedRows: estimated,
  }
}

/** Some rows, spread over the pages of a large table; the first ones of a view. */
async function readSample(
  client: Client,
  { relation, columns, isSampled, estimatedRows }: Catalog,
): Promise<TableSample> {
  const exact = columns.filter(({ type, isReadable }) => isReadable && !INEXACT.has(type))
  const some = `SELECT ${exact.map(({ name }) => quoted(name)).join(', ')} FROM ${relation}`
  if (isSampled && estimatedRows > 2 * SAMPLE_ROWS) {
    const percent = Math.min(100, (200 * SAMPLE_ROWS) / estimatedRows)
    const spread = await sampleOf(
      client,
      exact,
      `${some} TABLESAMPLE SYSTEM (${percent}) REPEATABLE (0) LIMIT ${SAMPLE_ROWS}`,
    )
    if (spread.rows > 0) return { ...spread, isWhole: false }
  }
  return sampleOf(client, exact, `${some} LIMIT ${SAMPLE_ROWS}`)
}

async function sampleOf(client: Client, columns: readonly Column[], from: string): Promise<TableSample> {
  const lines: Buffer[] = []
  let bytes = 0
  for await (const rows of copyRows(client, selectOf(`(${from})`, columns, undefined))) {
    for (const { json } of rows) {
      // The rest is read, because the connection is needed further.
      if (bytes > SAMPLE_BYTES) continue
      lines.push(Buffer.concat([json, LINE_BREAK]))
      bytes += json.length
    }
  }
  const isWhole = lines.length < SAMPLE_ROWS && bytes <= SAMPLE_BYTES
  return { lines: Buffer.concat(lines), rows: lines.length, isWhole }
}

/**
 * The rows as two fields, key and JSON. A row over the limit of records is cut one character
 * behind it, so that a worker rejects it by its length. `OFFSET 0` keeps PostgreSQL from rendering
 * each row twice.
 */
function selectOf(from: string, columns: readonly Column[], key: Column | undefined): string {
  const values = columns.map(({ name, type, isList }) =>
    type === 'numeric' ? `${quoted(name)}::text${isList ? '[]' : ''} AS ${quoted(name)}` : quoted(name),
  )
  const order = key && !UNORDERED.has(key.type) ? `ORDER BY s.${quoted(key.name)}` : ''
  const by = key ? `left(s.${quoted(key.name)}::text, ${KEY_CHARACTERS})` : `''`
  return `SELECT k, CASE WHEN octet_length(j) > ${MAX_RECORD_BYTES} THEN left(j, ${MAX_RECORD_BYTES + 1}) ELSE j END
    FROM (SELECT ${by} AS k, row_to_json(r)::text AS j FROM ${from} s,
      LATERAL (SELECT ${values.map(value => `s.${value}`).join(', ')}) r ${order} OFFSET 0) q`
}

const LINE_BREAK = Buffer.from('\n')
const NO_KEY = Buffer.alloc(0)

async function* copyRows(
  client: Client,
  select: string,
): AsyncGenerator<readonly TableRow[], void, undefined> {
  const { to } = await importPackage(() => import('pg-copy-streams'))
  const copy = client.query(to(`COPY (${select}) TO STDOUT (FORMAT binary)`))
  for await (const rows of readCopiedRows(copy)) yield rows.map(rowOf)
}

function rowOf([key, json]: CopiedRow): TableRow {
  return { key: key ?? NO_KEY, json: onOneLine(json ?? NO_KEY) }
}

/** JSON of the type `json` keeps its line breaks, which are white space outside of strings. */
function onOneLine(json: Buffer): Buffer {
  for (let at = json.indexOf(0x0a); at !== -1; at = json.indexOf(0x0a, at)) json[at] = 0x20
  return json
}
