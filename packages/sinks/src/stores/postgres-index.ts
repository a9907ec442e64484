// Rows of a table of PostgreSQL that any program wrote, in one read-only transaction: both passes
// read the same rows.

import type { IndexReader, IndexRow, IndexSelection } from '@reembed/evaluate'
import { quoted } from '@reembed/export'
import { deadlines, importClient, ReembedError, startWait } from '@reembed/shared'
import type { Client } from 'pg'
import { chooseColumns, ID_NAMES } from './index-columns.ts'
import { postgresAddress, postgresOptions, receivedVector } from './postgres.ts'
import { createClient, postgresError } from './postgres-error.ts'
import { watchStatement } from './postgres-watch.ts'

const ROWS_AT_ONCE = 1_000

interface Columns {
  readonly id: string
  readonly vector: string
  readonly text: string | undefined
}

export async function openPostgresIndex({ server, of }: IndexSelection): Promise<IndexReader> {
  const { default: pg } = await importClient('pg', () => import('pg'))
  const address = postgresAddress(server)
  const { answerMs } = deadlines().sink
  const options = postgresOptions(server)
  const client = createClient((): Client => new pg.Client(options), address)
  client.on('error', () => {})
  /** A statement may take any time while the server works, for example over a slow view. */
  const guarded = async <T>(work: () => Promise<T>): Promise<T> => {
    using wait = startWait(`the vector store at ${address}`)
    const watch = watchStatement(client, () => new pg.Client({ ...options, query_timeout: answerMs }), wait)
    try {
      return await work()
    } catch (error) {
      throw postgresError(watch.failure ?? error, address)
    } finally {
      watch.end()
    }
  }
  const table = of.table ?? ''
  await client.connect().catch((error: unknown) => {
    throw postgresError(error, address)
  })
  const columns = await guarded(async () => {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    return columnsOf(client, table, of, address)
  }).catch(async (error: unknown) => {
    await client.end().catch(() => {})
    throw error
  })
  const { id, vector, text } = columns
  return {
    address: `${address} table ${table}`,
    async *rows(signal) {
      const select = `SELECT ${quoted(id)}::text AS id, vector_send(${quoted(vector)}::vector) AS sent${
        text === undefined ? '' : `, ${quoted(text)}::text AS text`
      } FROM ${qualified(table)}`
      await guarded(() => client.query(`DECLARE rows NO SCROLL CURSOR FOR ${select}`))
      while (true) {
        signal?.throwIfAborted()
        const { rows } = await guarded(() => client.query(`FETCH ${ROWS_AT_ONCE} FROM rows`))
        if (rows.length === 0) break
        yield rows.map(
          (row): IndexRow => ({
            id: String(row.id),
            vector: row.sent === null ? null : receivedVector(row.sent),
            ...(text !== undefined && { text: row.text }),
          }),
        )
      }
      await guarded(() => client.query('CLOSE rows'))
    },
    async [Symbol.asyncDispose]() {
      await client.end()
    },
  }
}

/** A name, or a schema and a name. */
const qualified = (table: string): string => table.split('.').map(quoted).join('.')

async function columnsOf(
  client: Client,
  table: string,
  of: IndexSelection['of'],
  address: string,
): Promise<Columns> {
  const { rows } = await client.query<{ name: string; type: string; isKey: boolean }>(
    `SELECT a.attname AS name, t.typname AS type,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary
               AND i.indnatts = 1 AND a.attnum = i.indkey[0]) AS "isKey"
     FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
     WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
    [qualified(table)],
  )
  if (rows.length === 0) {
    throw new ReembedError('USAGE', `${address} has no table or view '${table}'`, { option: 'store' })
  }
  const names = rows.map(({ name }) => name)
  const vectors = rows.filter(({ type }) => type === 'vector' || type === 'halfvec').map(({ name }) => name)
  const index = `the table '${table}' at ${address}`
  const columns = chooseColumns({ names, vectors }, of, index)
  const id = of.id ?? rows.find(({ isKey }) => isKey)?.name ?? ID_NAMES.find(name => names.includes(name))
  if (id !== undefined) return { id, ...columns }
  throw new ReembedError(
    'USAGE',
    `${index} has no primary key of one column; its columns are ${names.join(', ')}: add &id=<column>`,
    { option: 'store' },
  )
}
