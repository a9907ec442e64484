// Rows of a table of LanceDB that any program wrote, as of one version: that with the tag `live` if
// there is one, which is what searches use after a switch, else the newest.

import type { IndexReader, IndexRow, IndexSelection } from '@reembed/evaluate'
import { importClient, ReembedError } from '@reembed/shared'
import { chooseColumns, ID_NAMES } from './index-columns.ts'
import { LANCE_PACKAGES, LIVE, lanceAddress } from './lancedb.ts'

interface Table {
  schema(): Promise<{
    readonly fields: readonly { readonly name: string; readonly type: { readonly listSize?: number } }[]
  }>
  checkout(tag: string): Promise<void>
  tags(): Promise<{ list(): Promise<Record<string, unknown>> }>
  query(): { select(columns: readonly string[]): AsyncIterable<Batch> }
}
interface Batch {
  readonly numRows: number
  getChild(name: string): { get(row: number): unknown } | null
}
interface Client {
  connect(uri: string): Promise<{
    tableNames(options: { readonly startAfter: string; readonly limit: number }): Promise<string[]>
    openTable(name: string): Promise<Table>
    close(): void
  }>
}

export async function openLanceIndex({ server, of }: IndexSelection): Promise<IndexReader> {
  const address = lanceAddress(server)
  const client = await importClient<Client>(
    LANCE_PACKAGES,
    () => import('@lancedb/lancedb' as string) as Promise<Client>,
  )
  const name = of.table ?? ''
  const index = `the table '${name}' at ${address}`
  const database = await client.connect(address.slice('lancedb:'.length))
  const open = async () => {
    const names = await database.tableNames({ startAfter: name.slice(0, -1), limit: 1_000 })
    if (!names.includes(name))
      throw new ReembedError('USAGE', `${address} has no table '${name}'`, { option: 'store' })
    const table = await database.openTable(name)
    if (LIVE in (await (await table.tags()).list())) await table.checkout(LIVE)
    const { fields } = await table.schema()
    const columns = fields.map(field => field.name)
    const vectors = fields.filter(({ type }) => type.listSize !== undefined).map(field => field.name)
    const id = of.id ?? ID_NAMES.find(known => columns.includes(known))
    if (id === undefined) {
      throw new ReembedError(
        'USAGE',
        `${index} has no column ${ID_NAMES.join(', ')}; its columns are ${columns.join(', ')}: add &id=<column>`,
        { option: 'store' },
      )
    }
    return { table, id, ...chooseColumns({ names: columns, vectors }, of, index) }
  }
  const { table, id, vector, text } = await open().catch((error: unknown) => {
    database.close()
    throw error
  })
  return {
    address: `${address} table ${name}`,
    async *rows(signal) {
      const columns = [id, vector, ...(text === undefined ? [] : [text])]
      for await (const batch of table.query().select(columns)) {
        signal?.throwIfAborted()
        yield Array.from({ length: batch.numRows }, (_, row) => rowOf(batch, row, { id, vector, text }))
      }
    },
    async [Symbol.asyncDispose]() {
      database.close()
    },
  }
}

function rowOf(
  batch: Batch,
  row: number,
  { id, vector, text }: { readonly id: string; readonly vector: string; readonly text: string | undefined },
): IndexRow {
  const value = (name: string): unknown => batch.getChild(name)?.get(row)
  const values = value(vector) as Iterable<number> | null | undefined
  const written = text === undefined ? undefined : value(text)
  return {
    id: String(value(id)),
    vector: values == null ? null : Float32Array.from(values),
    ...(text !== undefined && { text: typeof written === 'string' ? written : null }),
  }
}
