// DuckDB as an independent reader of Parquet.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance, type DuckDBValue } from '@duckdb/node-api'

export interface DuckDb extends AsyncDisposable {
  /** Runs a query over the file; FILE in it is replaced by the name of the file. */
  query(bytes: Uint8Array, sql: string): Promise<Record<string, DuckDBValue>[]>
  /** One column of the result. */
  column(bytes: Uint8Array, sql: string): Promise<DuckDBValue[]>
}

export async function openDuckDb(): Promise<DuckDb> {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-shard-'))
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const file = join(folder, 'shard.parquet')
  let written: Uint8Array | undefined

  const run = async (bytes: Uint8Array, sql: string) => {
    if (written !== bytes) await writeFile(file, bytes)
    written = bytes
    return connection.runAndReadAll(sql.replace('FILE', `'${file}'`))
  }
  return {
    query: async (bytes, sql) => (await run(bytes, sql)).getRowObjects(),
    column: async (bytes, sql) => (await run(bytes, sql)).getColumns()[0] ?? [],
    async [Symbol.asyncDispose]() {
      connection.closeSync()
      instance.closeSync()
      await rm(folder, { recursive: true })
    },
  }
}
