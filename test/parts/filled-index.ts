// Indexes as some other program fills them, by the client of each vector store.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { IndexRow } from '@reembed/evaluate'
import { startElasticsearch } from './elasticsearch.ts'
import { lackOfMilvus, PATIENT, startMilvus } from './milvus.ts'
import { qdrantClient } from './qdrant-client.ts'

export interface Filled extends AsyncDisposable {
  /** The URL with which an index is examined. */
  urlOf(name: string): string
  fill(name: string, rows: readonly IndexRow[]): Promise<void>
}

const ROWS_AT_ONCE = 500
const ATTEMPTS = 5

const parts = (rows: readonly IndexRow[]): IndexRow[][] =>
  Array.from({ length: Math.ceil(rows.length / ROWS_AT_ONCE) }, (_, i) =>
    rows.slice(i * ROWS_AT_ONCE, (i + 1) * ROWS_AT_ONCE),
  )

/** @param url of a running server; default: the stand-in */
export async function filledElastic(product: 'elasticsearch' | 'opensearch', url?: string): Promise<Filled> {
  const server =
    url === undefined
      ? await startElasticsearch(product === 'opensearch' ? '3.5.0' : '9.3.0', product)
      : undefined
  const base = url ?? server?.url ?? ''
  const send = async (method: string, path: string, body = '', type = 'application/json') => {
    for (let attempt = 1; ; attempt += 1) {
      const headers = body === '' ? {} : { 'content-type': type }
      const reply = await fetch(base + path, { method, headers, body: body || null }).catch(() => undefined)
      const text = await reply?.text()
      if (reply?.ok && !text?.includes('"errors":true')) return
      if (attempt === ATTEMPTS) throw new Error(`${method} ${path}: ${text}`)
    }
  }
  const names = new Set<string>()
  return {
    urlOf: name => `${product}+${base}?index=${name}`,
    async fill(name, rows) {
      const dimensions = rows[0]?.vector?.length ?? 0
      const embedding =
        product === 'elasticsearch'
          ? { type: 'dense_vector', dims: dimensions, index: true, similarity: 'l2_norm' }
          : {
              type: 'knn_vector',
              dimension: dimensions,
              method: { name: 'hnsw', engine: 'lucene', space_type: 'l2' },
            }
      // A refresh each second would build and merge a graph for the few documents of each.
      const settings = { index: { refresh_interval: '-1', ...(product === 'opensearch' && { knn: true }) } }
      const mappings = { properties: { embedding, text: { type: 'text' } } }
      await fetch(`${base}/${name}`, { method: 'DELETE' })
      await send('PUT', `/${name}`, JSON.stringify({ settings, mappings }))
      names.add(name)
      for (const part of parts(rows)) {
        const lines = part.flatMap(({ id, vector, text }) => [
          JSON.stringify({ index: { _id: id } }),
          JSON.stringify({ embedding: [...(vector ?? [])], text }),
        ])
        await send('POST', `/${name}/_bulk`, `${lines.join('\n')}\n`, 'application/x-ndjson')
      }
      await send('POST', `/${name}/_refresh`)
    },
    async [Symbol.asyncDispose]() {
      for (const name of names) await send('DELETE', `/${name}`)
      await server?.[Symbol.asyncDispose]()
    },
  }
}

/** @param url of a running server; default: the stand-in */
export async function filledQdrant(url?: string): Promise<Filled> {
  const client = await qdrantClient(url)
  const names = new Set<string>()
  return {
    urlOf: name => `qdrant+${client.url}?collection=${name}`,
    async fill(name, rows) {
      await client.create(name, rows[0]?.vector?.length ?? 0)
      names.add(name)
      const points = rows.map(({ id, vector, text }, i) => ({
        id: i,
        vector: [...(vector ?? [])],
        payload: { id, text },
      }))
      await client.put(name, points)
    },
    async [Symbol.asyncDispose]() {
      for (const name of names) await client.request('DELETE', `/collections/${name}`)
      await client[Symbol.asyncDispose]()
    },
  }
}

interface MilvusClient {
  createCollection(request: object): Promise<unknown>
  createIndex(request: object): Promise<unknown>
  loadCollectionSync(request: object): Promise<unknown>
  insert(request: object): Promise<{ readonly status: { readonly reason: string } }>
  closeConnection(): Promise<unknown>
}
const milvusPackage: { readonly MilvusClient: new (config: object) => MilvusClient } | undefined =
  await import('@zilliz/milvus2-sdk-node' as string).catch(() => undefined)

export const lackOfFilledMilvus: string | undefined =
  milvusPackage === undefined ? 'the package @zilliz/milvus2-sdk-node is not installed' : lackOfMilvus

export async function filledMilvus(): Promise<Filled> {
  if (milvusPackage === undefined) throw new Error(lackOfFilledMilvus)
  const server = await startMilvus()
  const client = new milvusPackage.MilvusClient({ address: server.host, logLevel: 'error', ...PATIENT })
  return {
    urlOf: name => `milvus+http://${server.host}?collection=${name}`,
    async fill(collection_name, rows) {
      const fields = [
        { name: 'doc', data_type: 'VarChar', max_length: 100, is_primary_key: true },
        { name: 'v', data_type: 'FloatVector', dim: rows[0]?.vector?.length },
        { name: 'body', data_type: 'VarChar', max_length: 1_000 },
      ]
      await client.createCollection({ collection_name, fields })
      await client.createIndex({ collection_name, field_name: 'v', index_type: 'FLAT', metric_type: 'IP' })
      await client.loadCollectionSync({ collection_name })
      for (const part of parts(rows)) {
        const data = part.map(({ id, vector, text }) => ({ doc: id, v: [...(vector ?? [])], body: text }))
        const { status } = await client.insert({ collection_name, data })
        if (status.reason !== '') throw new Error(status.reason)
      }
    },
    async [Symbol.asyncDispose]() {
      await client.closeConnection()
      await server[Symbol.asyncDispose]()
    },
  }
}

interface LanceDatabase {
  createTable(name: string, rows: readonly object[]): Promise<unknown>
  close(): void
}
const lancePackage: { connect(uri: string): Promise<LanceDatabase> } | undefined = await import(
  '@lancedb/lancedb' as string
).catch(() => undefined)

export const lackOfFilledLance: string | undefined =
  lancePackage === undefined ? 'the package @lancedb/lancedb is not installed' : undefined

export async function filledLance(): Promise<Filled> {
  if (lancePackage === undefined) throw new Error(lackOfFilledLance)
  const folder = await mkdtemp(join(tmpdir(), 'reembed-lance-'))
  const database = await lancePackage.connect(folder)
  return {
    urlOf: name => `lancedb:${folder}?table=${name}`,
    async fill(name, rows) {
      const written = rows.map(({ id, vector, text }) => ({ id, vector: [...(vector ?? [])], text }))
      await database.createTable(name, written)
    },
    async [Symbol.asyncDispose]() {
      database.close()
      await rm(folder, { recursive: true })
    },
  }
}
