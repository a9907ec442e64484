// Loads into Milvus Lite, the real server for one machine. The client is an optional package, so
// the test runs where both are: `npm install --no-save @zilliz/milvus2-sdk-node`.

import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { columnsOf, columnsUnder } from '@reembed/export'
import { wholeTarget } from '@reembed/protocol'
import { withDeadlines } from '@reembed/shared'
import { loadRun, openVectorStore } from '@reembed/sinks'
import { openStore } from '@reembed/store'
import { describe, expect, test } from 'vitest'
import type { MilvusClient, MilvusConnection } from '../../packages/sinks/src/stores/milvus-connection.ts'
import { milvusTexts } from '../../packages/sinks/src/stores/milvus-filter.ts'
import { makeRun } from '../export/run.ts'
import { lackOfMilvus, PATIENT, startMilvus } from '../parts/milvus.ts'
import { memoryStore } from '../shard/parts.ts'
import { proveLoads } from './conformance.ts'

type Row = Record<string, unknown> & { readonly id: string; readonly embedding: readonly number[] }
interface Client {
  query(
    request: object,
  ): Promise<{ readonly data: readonly Row[]; readonly status: { readonly reason: string } }>
  get(request: object): Promise<{ readonly data: readonly Row[] }>
  delete(request: object): Promise<unknown>
  upsert(request: object): Promise<unknown>
  closeConnection(): Promise<unknown>
}

/** Rows of one reply: 12 MiB of vectors. One of 100 MB hung, without an error. */
const PAGE = Math.min(
  8_192,
  ...(process.env.REEMBED_TEST_LOAD ?? '').split(',').map(size => {
    const [, dimensions = 1] = size.split('x').map(Number)
    return Math.floor((3 * 2 ** 20) / dimensions)
  }),
)

const client: { readonly MilvusClient: new (config: object) => Client } | undefined = await import(
  '@zilliz/milvus2-sdk-node' as string
).catch(() => undefined)

proveLoads(
  'Milvus Lite',
  client === undefined ? 'the package @zilliz/milvus2-sdk-node is not installed' : lackOfMilvus,
  async () => {
    const server = await startMilvus()
    if (client === undefined) throw new Error('no client')
    const milvus = new client.MilvusClient({ address: server.host, logLevel: 'error', ...PATIENT })
    const strong = { consistency_level: 'Strong' }
    return {
      url: `milvus+http://${server.host}`,
      async rows(target) {
        const found: Row[] = []
        while (true) {
          // Rows have no order, so a page cannot begin behind an id.
          const { data } = await milvus.query({
            collection_name: target,
            filter: 'id > ""',
            output_fields: ['*'],
            limit: PAGE,
            offset: found.length,
            ...strong,
          })
          found.push(...data)
          if (data.length < PAGE) break
        }
        return found.map(({ id, embedding, ...columns }) => ({
          id,
          vector: Float32Array.from(embedding),
          columns,
        }))
      },
      // One request: between two, the alias may be switched to vectors of other dimensions.
      async search(name) {
        const { data, status } = await milvus.query({
          collection_name: name,
          filter: 'id > ""',
          limit: 10,
          output_fields: ['embedding'],
          ...strong,
        })
        if (status.reason !== '') throw new Error(status.reason)
        return data.map(({ embedding }) => embedding.length)
      },
      remove: async (target, id) => {
        await milvus.delete({ collection_name: target, ids: [id] })
      },
      async change(target, id, vector) {
        const { data } = await milvus.get({
          collection_name: target,
          ids: [id],
          output_fields: ['*'],
          ...strong,
        })
        await milvus.upsert({ collection_name: target, data: [{ ...data[0], embedding: [...vector] }] })
      },
      async [Symbol.asyncDispose]() {
        await milvus.closeConnection()
        await server[Symbol.asyncDispose]()
      },
    }
  },
  {
    bits: true,
    refused: {
      text: 'x'.repeat(70_000),
      reason: /Milvus cannot store 70000 bytes in the column text, at most 65535 are possible/,
    },
  },
)

test.each([
  ['v2.6.1', String.raw`"\U00020bb7中é\\\"\n\r\t${'\u0001'}"`],
  ['milvus_lite-3.0.2', String.raw`"𠮷中é\\\"\n\r\t${'\u0001'}"`],
])('a filter of %s holds a string with the escapes that it knows', async (version, literal) => {
  const ask: MilvusConnection['ask'] = work =>
    work({ getVersion: async () => ({ version }) } as unknown as MilvusClient)
  expect(await milvusTexts(ask, ['𠮷中é\\"\n\r\t\u0001', 'a'])).toEqual([literal, '"a"'])
})

describe.skipIf(client === undefined || lackOfMilvus !== undefined)(
  'Milvus Lite, beside another process',
  () => {
    test('processes that prepare one target at a time agree on its load, and an aborted index is not waited for', async () => {
      await using server = await startMilvus()
      const url = `milvus+http://${server.host}`
      const folder = await mkdtemp(join(tmpdir(), 'reembed-milvus-'))
      await using output = await openStore(folder)
      const { manifest } = await makeRun(output, { run: 'a'.repeat(26) })
      const target = { name: 'raced', target: `raced_${'a'.repeat(12)}`, manifest, extra: [] }
      await using stack = new AsyncDisposableStack()
      const stores = await Promise.all(Array.from({ length: 6 }, () => openVectorStore(url)))
      for (const store of stores) stack.use(store)
      const loads = await Promise.all(stores.map(store => store.prepare(target)))
      expect(new Set(loads).size).toBe(1)
      expect(await stores[0]?.prepare(target)).toBe(loads[0])
      const aborted = AbortSignal.abort(new Error('stopped'))
      await expect(stores[0]?.finish(target, { signal: aborted })).rejects.toThrow('stopped')
      await rm(folder, { recursive: true })
    })

    test('a call whose connection is lost is repeated, once the server has answered', async () => {
      await using server = await startMilvus()
      const [, port] = server.host.split(':')
      let cuts = 0
      const proxy = createServer(socket => {
        const behind = connect(Number(port), '127.0.0.1')
        socket.on('data', bytes => {
          if (cuts === 0) behind.write(bytes)
          else {
            cuts -= 1
            socket.destroy()
          }
        })
        behind.on('data', bytes => socket.write(bytes))
        for (const [end, other] of [
          [socket, behind],
          [behind, socket],
        ] as const)
          end.on('error', () => {}).on('close', () => other.destroy())
      }).listen(0, '127.0.0.1')
      await once(proxy, 'listening')
      const { port: front } = proxy.address() as AddressInfo
      const vectors = await openVectorStore(`milvus+http://127.0.0.1:${front}`)
      expect(await vectors.count('nothing')).toBeUndefined()
      cuts = 1
      expect(await vectors.count('nothing')).toBeUndefined()
      expect(cuts).toBe(0)
      await vectors[Symbol.asyncDispose]()
      proxy.close()
    })

    test('the call after one on a connection that a router has dropped uses another one', async () => {
      await using server = await startMilvus()
      const [, port] = server.host.split(':')
      const dropped = new Set<unknown>()
      const sockets = new Set<Socket>()
      const proxy = createServer(socket => {
        sockets.add(socket)
        const behind = connect(Number(port), '127.0.0.1')
        socket.on('data', bytes => dropped.has(socket) || behind.write(bytes))
        behind.on('data', bytes => dropped.has(socket) || socket.write(bytes))
        for (const end of [socket, behind]) end.on('error', () => {})
        socket.on('close', () => behind.destroy())
      }).listen(0, '127.0.0.1')
      await once(proxy, 'listening')
      const { port: front } = proxy.address() as AddressInfo
      await withDeadlines({ timeoutMs: 600 }, async () => {
        await using vectors = await openVectorStore(`milvus+http://127.0.0.1:${front}`)
        expect(await vectors.count('nothing')).toBeUndefined()
        for (const socket of sockets) dropped.add(socket)
        await expect(vectors.count('nothing')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
        expect(await vectors.count('nothing')).toBeUndefined()
        expect(sockets.size).toBeGreaterThan(dropped.size)
      })
      for (const socket of sockets) socket.destroy()
      proxy.close()
    })

    test('a collection whose creator was stopped before the record is taken over, and one with rows is refused', async () => {
      await using server = await startMilvus()
      if (client === undefined) throw new Error('no client')
      const milvus = new client.MilvusClient({ address: server.host, logLevel: 'error', ...PATIENT })
      await using vectors = await openVectorStore(`milvus+http://${server.host}`)
      const output = memoryStore()
      const { manifest } = await makeRun(output)
      // A collection as `prepare` creates it, without a record.
      const target = wholeTarget([], 'stopped', manifest.run)
      const columns = columnsOf(manifest, { identifiers: true })
      const at = { name: 'stopped', target, manifest, extra: columnsUnder(columns) }
      const forget = () => milvus.delete({ collection_name: 'reembed_loads', ids: [target] })
      const soon = <T>(work: () => Promise<T>): Promise<T> => withDeadlines({ timeoutMs: 2_000 }, work)
      await vectors.prepare(at)
      await forget()
      const load = await soon(() => vectors.prepare(at))
      expect(await vectors.holds(target)).toBe(load)
      const { proof } = await loadRun(output, manifest, vectors, { name: 'stopped' })
      expect(proof).toMatchObject({ load, rows: 300 })
      await forget()
      await expect(soon(() => vectors.prepare(at))).rejects.toMatchObject({
        code: 'USAGE',
        message: expect.stringContaining('holds rows that reembed did not load'),
      })
      await milvus.closeConnection()
    })
  },
)
