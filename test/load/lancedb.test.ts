// Loads into LanceDB, embedded. Its package is optional and large (193 MB), so the test runs where
// it is installed: `npm install --no-save @lancedb/lancedb apache-arrow@18` in a folder, linked as
// node_modules/@lancedb.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { proveLoads } from './conformance.ts'

type Row = Record<string, unknown> & { readonly embedding: { toArray(): Float32Array } }
interface Table {
  checkout(version: string): Promise<void>
  checkoutLatest(): Promise<void>
  delete(predicate: string): Promise<unknown>
  update(options: { where: string; values: Record<string, unknown> }): Promise<unknown>
  version(): Promise<number>
  tags(): Promise<{ update(tag: string, version: number): Promise<void> }>
  query(): {
    toArray(): Promise<Row[]>
    limit(n: number): { toArray(): Promise<Row[]> }
    nearestTo(vector: Float32Array): { limit(n: number): { toArray(): Promise<Row[]> } }
  }
}

const client: { connect(uri: string): Promise<{ openTable(name: string): Promise<Table> }> } | undefined =
  await import('@lancedb/lancedb' as string).catch(() => undefined)

proveLoads(
  'LanceDB',
  client ? undefined : 'the package @lancedb/lancedb is not installed',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'reembed-lance-'))
    const database = await client?.connect(folder)
    const open = async (name: string, tag: string): Promise<Table> => {
      const table = await database?.openTable(name)
      if (table === undefined) throw new Error('no client')
      await table.checkout(tag)
      return table
    }
    const nameOf = (target: string): string => target.slice(0, target.lastIndexOf('_'))
    /** Edits the newest version, and lets the tag follow. */
    async function edit(target: string, work: (table: Table) => Promise<unknown>): Promise<void> {
      const table = await open(nameOf(target), target)
      await table.checkoutLatest()
      await work(table)
      await (await table.tags()).update(target, await table.version())
    }
    return {
      url: `lancedb:${folder}`,
      async rows(target) {
        const table = await open(nameOf(target), target)
        const rows = await table.query().toArray()
        return rows.map(({ id, embedding, ...columns }) => ({
          id: String(id),
          vector: Float32Array.from(embedding.toArray()),
          columns,
        }))
      },
      async search(name) {
        const table = await open(name, 'live')
        const [first] = await table.query().limit(1).toArray()
        const nearest = table.query().nearestTo(first?.embedding.toArray() ?? new Float32Array(1))
        return (await nearest.limit(10).toArray()).map(({ embedding }) => embedding.toArray().length)
      },
      remove: (target, id) => edit(target, table => table.delete(`id = '${id}'`)),
      change: (target, id, vector) =>
        edit(target, table => table.update({ where: `id = '${id}'`, values: { embedding: [...vector] } })),
      [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
    }
  },
  { bits: true },
)
