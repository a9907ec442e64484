// Loads into LanceDB, embedded. Its package is optional and large (193 MB), so the test runs where
// it is installed: `npm install --no-save @lancedb/lancedb apache-arrow@18` in a folder, linked as
// node_modules/@lancedb.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { columnsOf, columnsUnder, rowsOf, shardsOf } from '@reembed/export'
import { wholeTarget } from '@reembed/protocol'
import { loadRun, openIndex, openVectorStore } from '@reembed/sinks'
import { describe, expect, test, vi } from 'vitest'
import { makeRun } from '../export/run.ts'
import { temporaryFolder } from '../parts/cli.ts'
import { memoryStore } from '../shard/parts.ts'
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

describe.skipIf(client === undefined)('a folder of LanceDB', () => {
  test('an append of another process is found by the process that began the load', async () => {
    await using folder = await temporaryFolder()
    const output = memoryStore()
    const { manifest } = await makeRun(output)
    const columns = columnsOf(manifest, { identifiers: true })
    const target = {
      name: 'wiki',
      target: wholeTarget([], 'wiki', manifest.run),
      manifest,
      extra: columnsUnder(columns),
    }
    const shards = await Array.fromAsync(shardsOf(output, manifest))
    await using vectors = await openVectorStore(`lancedb:${folder.path}`)
    await using other = await openVectorStore(`lancedb:${folder.path}`)
    const load = await vectors.prepare(target)
    const { dimensions } = manifest.model
    const write = async (by: typeof vectors, shard: (typeof shards)[number]) =>
      by.write(target, {
        load,
        shard: shard.shard,
        rows: () => rowsOf(output, shard, { dimensions, columns, verify: true }),
      })
    const [first, second, third] = shards
    if (!first || !second || !third) throw new Error('no shards')
    await write(vectors, first)
    await write(other, second)
    await write(other, third)
    await write(vectors, second)
    await write(vectors, third)
    await vectors.finish(target)
    expect(await vectors.count(target.target)).toBe(300)
  })

  test('a load continues after an outage', async () => {
    await using folder = await temporaryFolder()
    const output = memoryStore()
    const { manifest } = await makeRun(output)
    await using vectors = await openVectorStore(`lancedb:${folder.path}`)
    const database = Object.getPrototypeOf(await client?.connect(folder.path))
    const { openTable } = database
    let failures = 0
    const spy = vi.spyOn(database, 'openTable').mockImplementation(function (this: object, ...names) {
      failures += 1
      // The write, and the read of what the table holds.
      if (failures === 1 || failures === 2) throw new Error('dispatch failure')
      return openTable.apply(this, names)
    })
    const { proof } = await loadRun(output, manifest, vectors, { name: 'wiki', concurrency: 1 })
    spy.mockRestore()
    expect(failures).toBeGreaterThan(2)
    expect(proof.rows).toBe(300)
  })

  test('is examined under the path that was given, with characters that a URL encodes', async () => {
    await using folder = await temporaryFolder()
    const url = `lancedb:${join(folder.path, 'my folder#1 %20?')}`
    const output = memoryStore()
    const { manifest } = await makeRun(output)
    await using vectors = await openVectorStore(url)
    await loadRun(output, manifest, vectors, { name: 'wiki' })
    await using index = await openIndex(`${url}?table=wiki`)
    const batches = await Array.fromAsync(index.rows(undefined))
    expect(batches.flat()).toHaveLength(300)
  })
})
