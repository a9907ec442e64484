// Elasticsearch and OpenSearch by their REST API. Documents are indexed by `_bulk` while the index
// neither refreshes nor has replicas (elastic.co, "Tune for indexing speed"). From 9.3 on,
// Elasticsearch takes vectors as base64 of big-endian float32 (elastic/elasticsearch#137072).
//
//   <name>_<run>   the target; `_meta.reembed` of its mapping has the load, the run and its hash
//   <name>         an alias
//   <name>_<run>_w<load>_<run>   an alias that a load writes through, see `writeAlias`
//
// A bulk request requires its alias (`require_alias`): to a name that does not exist the servers
// would create an index by dynamic mapping.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  ELASTIC_DIMENSIONS,
  ELASTIC_ID_BYTES,
  elasticProperties,
  floatArray,
  members,
  metadataOf,
} from '@reembed/export'
import type { RefusedRow } from '@reembed/protocol'
import type { FlatColumn, ShardBatch } from '@reembed/shard'
import {
  createHttpClient,
  type HttpClient,
  messageOf,
  ReembedError,
  type RetryOptions,
  withRetries,
} from '@reembed/shared'
import {
  isWriteAlias,
  notHeld,
  type RefusedByShard,
  requireUnused,
  type ShardWrite,
  type Target,
  type TargetUpdate,
  type VectorStore,
  writeAlias,
} from '../load/vector-store.ts'

/** Elasticsearch recommends a few MiB for a request, and refuses more than 100 MiB. */
const BULK_CHARS = 8 * 2 ** 20
/**
 * A request that takes longer halves the size of the next. 8 MiB are 2,000 documents of 384
 * dimensions: four loaders of a server that indexes 60 documents/s need 133 s for them, and a
 * request has 120 s.
 */
const SLOW_BULK_MS = 10_000
/** A change of aliases fails if another process deletes one of them, or its index, meanwhile. */
const CHANGED_MEANWHILE = /aliases_not_found_exception|index_not_found_exception/
const ALIAS_TRIES = 8
/** OpenSearch 2.12 takes the parameter `must_exist` (opensearch-project/OpenSearch#11210). */
const MUST_EXIST = 212
const ALIAS_PAUSE_MS = 50
const MAX_DIMENSIONS = { elasticsearch: ELASTIC_DIMENSIONS, opensearch: 16_000 }

interface Server {
  readonly product: 'elasticsearch' | 'opensearch'
  /** 9.3 is 903. */
  readonly version: number
}

/** Connects to a server. ELASTIC_API_KEY, or the URL, has the key. */
export async function openElasticClient(url: string): Promise<HttpClient & Server> {
  const { ELASTIC_API_KEY: key } = process.env
  const client = createHttpClient(url, key ? { authorization: `ApiKey ${key}` } : {})
  return { ...client, ...(await serverOf(client)) }
}

/** From 9.2 on, vectors are not part of the source unless a request asks for them. */
export const hidesVectors = ({ product, version }: Server): boolean =>
  product === 'elasticsearch' && version >= 902

/** Whether documents of a point in time have an order, see `pagesAtPointInTime`. */
export const hasShardOrder = ({ product, version }: Server): boolean =>
  product === 'opensearch' && version >= 303

/** Opens a server: `elasticsearch+https://host:9200`. */
export async function openElasticsearch(url: string): Promise<VectorStore> {
  const server = await openElasticClient(url)
  const { address, request } = server
  if (server.product === 'opensearch' && server.version < MUST_EXIST) {
    throw new ReembedError(
      'USAGE',
      `${address} is an OpenSearch before 2.12, where two switches at a time can leave searches with two indexes: update it`,
      { option: 'target' },
    )
  }
  const hasBase64 = server.product === 'elasticsearch' && server.version >= 903

  const metaOf = async (index: string) => {
    const { status, body } = await request('GET', `/${index}/_mapping`, { expect: [404] })
    if (status === 404) return undefined
    return { isIndex: index in body, reembed: body[index]?.mappings?._meta?.reembed }
  }

  async function prepare({ name, target, manifest, extra }: Target): Promise<string> {
    const { run, shardsSha256, model } = manifest
    const limit = MAX_DIMENSIONS[server.product]
    if (model.dimensions > limit) {
      throw new ReembedError(
        'USAGE',
        `${server.product} supports at most ${limit} dimensions, these vectors have ${model.dimensions}: embed with fewer dimensions, or use another vector store`,
      )
    }
    if ((await metaOf(name))?.isIndex) {
      throw new ReembedError(
        'USAGE',
        `'${name}' at ${address} is an index, and searches need an alias of that name: choose another name`,
        { option: 'name' },
      )
    }
    const load = randomUUID()
    const created = await request('PUT', `/${target}`, {
      json: {
        ...indexOf(server, model.dimensions, extra, { load, run, shardsSha256 }),
        aliases: { [writeAlias(target, load, run)]: {} },
      },
      // resource_already_exists_exception; what exists is read below.
      expect: [400],
    })
    const index = await metaOf(target)
    if (index === undefined) {
      throw new ReembedError(
        'USAGE',
        `${address} does not create ${target}: ${created.body?.error?.reason ?? `status ${created.status}`}`,
      )
    }
    const found = index.reembed
    if (found?.run === run && found.shardsSha256 === shardsSha256) {
      if (found.load !== load) await openTo(target, found.load, run)
      return found.load
    }
    throw new ReembedError(
      'USAGE',
      `'${target}' at ${address} holds ${found ? `other vectors, of run ${found.run}` : 'documents that reembed did not load'}: drop it, or choose another name`,
      { option: 'name' },
    )
  }

  /** The indexes that an alias points to. */
  async function indexesOf(alias: string, signal?: AbortSignal): Promise<string[]> {
    const { status, body } = await request('GET', `/_alias/${alias}`, { expect: [404], signal })
    return status === 404 ? [] : Object.keys(body)
  }

  const openTo = (target: string, load: string, run: string): Promise<unknown> =>
    request('POST', '/_aliases', {
      json: { actions: [{ add: { index: target, alias: writeAlias(target, load, run) } }] },
    })

  async function aliasesOf(target: string, options?: RetryOptions): Promise<string[]> {
    const { body } = await request('GET', `/${target}/_alias`, { expect: [404], ...options })
    return Object.keys(body?.[target]?.aliases ?? {})
  }

  /** Repeats a change of aliases that another process interferes with, until it returns true. */
  async function changing(
    name: string,
    { signal }: RetryOptions = {},
    change: () => Promise<boolean>,
  ): Promise<void> {
    for (let tried = 1; ; tried += 1) {
      try {
        if (await change()) return
      } catch (error) {
        if (tried === ALIAS_TRIES || !CHANGED_MEANWHILE.test(messageOf(error))) throw error
      }
      if (tried === ALIAS_TRIES) {
        throw new ReembedError(
          'STORE_UNREACHABLE',
          `other processes change the aliases of ${name} at ${address} again and again: stop them, then try again`,
        )
      }
      await sleep(tried * ALIAS_PAUSE_MS, undefined, { signal })
    }
  }

  /** Closes a target to all loads, except the one that writes through `kept`. */
  async function close(target: string, options?: RetryOptions, kept?: string): Promise<void> {
    await changing(target, options, async () => {
      const open = (await aliasesOf(target, options)).filter(
        alias => isWriteAlias(target, alias) && alias !== kept,
      )
      if (open.length === 0) return true
      const actions = open.map(alias => ({ remove: { index: target, alias } }))
      await request('POST', '/_aliases', { json: { actions }, ...options })
      return true
    })
  }

  /** Sends one bulk request; the items that the server refuses for their content. */
  async function bulk(
    { target, load, run }: { readonly target: string; readonly load: string; readonly run: string },
    body: string,
    options?: RetryOptions,
  ): Promise<RefusedRow[]> {
    const reply = await request('POST', `/${writeAlias(target, load, run)}/_bulk?require_alias=true`, {
      text: { body, type: 'application/x-ndjson' },
      ...options,
    })
    if (reply.body.errors !== true) return []
    const refused: RefusedRow[] = []
    for (const entry of reply.body.items) {
      const item = entry.index ?? entry.delete
      if (item.error === undefined) continue
      // The reason of an exception without a message is null.
      const [said, cause] = [
        item.error.reason ?? item.error.type ?? 'refused',
        item.error.caused_by?.reason ?? '',
      ]
      const reason = said.includes(cause) ? said : `${said}: ${cause}`
      // index_not_found_exception; a document that is not found has no error.
      if (item.status === 404) throw notHeld(target, load, address)
      if (item.status !== 400) {
        // es_rejected_execution_exception: the queue of the node is full. The request is repeated.
        throw new ReembedError('STORE_UNREACHABLE', `${address} answers ${item.status} in _bulk: ${reason}`, {
          retry: 'requeue',
        })
      }
      refused.push({ id: item._id, reason })
    }
    return refused
  }

  /** What the next request has; the shards that are written at a time share it. */
  let bulkChars = BULK_CHARS / 8

  async function write({ target, manifest }: Target, { load, rows }: ShardWrite, options?: RetryOptions) {
    const to = { target, load, run: manifest.run }
    const refused: RefusedRow[] = []
    let lines: string[] = []
    let length = 0
    const send = async (): Promise<void> => {
      if (lines.length === 0) return
      const body = lines.join('')
      const startMs = performance.now()
      try {
        refused.push(...(await withRetries(() => bulk(to, body, options), options)))
      } finally {
        const isSlow = performance.now() - startMs > SLOW_BULK_MS
        bulkChars = isSlow
          ? Math.min(bulkChars, body.length / 2)
          : Math.min(BULK_CHARS, Math.max(bulkChars, 2 * body.length))
      }
      lines = []
      length = 0
    }
    for await (const batch of rows()) {
      for (const { id, line } of linesOf(batch, manifest.model.dimensions, hasBase64)) {
        const bytes = Buffer.byteLength(id)
        // A longer one fails the whole request.
        if (bytes > ELASTIC_ID_BYTES) {
          refused.push({ id, reason: `the id has ${bytes} bytes, and _id takes at most ${ELASTIC_ID_BYTES}` })
          continue
        }
        lines.push(line)
        length += line.length
        if (length >= bulkChars) await send()
      }
    }
    await send()
    // Durable before the shard is recorded: the translog is synced for each request by default.
    return refused
  }

  async function remove(
    to: Parameters<typeof bulk>[0],
    ids: readonly string[],
    options?: RetryOptions,
  ): Promise<void> {
    const lines = ids
      .filter(id => Buffer.byteLength(id) <= ELASTIC_ID_BYTES)
      .map(id => `{"delete":{"_id":${JSON.stringify(id)}}}\n`)
    if (lines.length > 0) await withRetries(() => bulk(to, lines.join(''), options), options)
  }

  async function update(
    { target, manifest, ...rest }: Target,
    { load, shards, removed }: TargetUpdate,
    options?: RetryOptions,
  ): Promise<RefusedByShard> {
    const { run, shardsSha256 } = manifest
    const to = { target, load, run }
    if ((await metaOf(target))?.reembed?.load !== load) throw notHeld(target, load, address)
    await close(target, options, writeAlias(target, load, run))
    await openTo(target, load, run)
    await request('PUT', `/${target}/_mapping`, {
      json: { _meta: { reembed: { load, run, shardsSha256 } } },
      ...options,
    })
    const refused = new Map<number, readonly RefusedRow[]>()
    for await (const { shard, rows } of shards()) {
      const rejected = await write({ target, manifest, ...rest }, { load, shard, rows }, options)
      if (rejected.length === 0) continue
      refused.set(shard, rejected)
      await remove(
        to,
        rejected.map(({ id }) => id),
        options,
      )
    }
    for await (const ids of removed()) await remove(to, ids, options)
    await close(target, options)
    await request('POST', `/${target}/_refresh`, options)
    return refused
  }

  return {
    kind: server.product,
    address,
    identifiers: true,
    // The servers normalize vectors for the similarity cosine.
    compared: () => 'cosine',
    prepare,
    write,
    update,
    holds: async target => (await metaOf(target))?.reembed?.load,
    async finish({ target }, options) {
      await close(target, options)
      // null restores the default.
      const settings = { index: { refresh_interval: null, number_of_replicas: null } }
      await request('PUT', `/${target}/_settings`, { json: settings, ...options })
      await request('POST', `/${target}/_refresh`, options)
    },
    async count(target) {
      const { status, body } = await request('GET', `/${target}/_count`, { expect: [404] })
      return status === 404 ? undefined : body.count
    },
    async read(target, ids) {
      const source = {
        includes: ['embedding'],
        ...(hidesVectors(server) && { exclude_vectors: false }),
      }
      const { body } = await request('POST', `/${target}/_search`, {
        json: { size: ids.length, query: { ids: { values: ids } }, _source: source },
      })
      return new Map(
        body.hits.hits.map((hit: { _id: string; _source: { embedding: number[] | string } }) => [
          hit._id,
          vectorOf(hit._source.embedding),
        ]),
      )
    },
    current: async name => (await indexesOf(name))[0],
    async switchTo(name, target, signal) {
      // The actions of a call are one update of the cluster state. Without `must_exist` a removal
      // that finds nothing is left out: the alias would keep what another switch gave it meanwhile.
      let isDone = false
      await changing(name, { signal }, async () => {
        const held = await indexesOf(name, signal)
        const others = held.filter(index => index !== target)
        // Without the target, it is another switch that was later.
        if (isDone && !held.includes(target)) return true
        if (held.length === 1 && others.length === 0) return true
        const actions = [
          ...others.map(index => ({ remove: { index, alias: name, must_exist: true } })),
          { add: { index: target, alias: name } },
        ]
        await request('POST', '/_aliases', { json: { actions }, signal }).catch(async (error: unknown) => {
          if (CHANGED_MEANWHILE.test(messageOf(error)) && !(await metaOf(target)))
            throw new ReembedError('USAGE', `${address} has no ${target} any more: load the run again`)
          throw error
        })
        isDone = true
        return false
      })
    },
    async drop(target) {
      // The server deletes the aliases of an index with it.
      requireUnused(target, address, await aliasesOf(target))
      await request('DELETE', `/${target}`, { expect: [404] })
    },
    async [Symbol.asyncDispose]() {},
  }
}

async function serverOf({ request, address }: HttpClient): Promise<Server> {
  const { body } = await request('GET', '/')
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(body?.version?.number ?? '') ?? []
  if (major === undefined || minor === undefined) {
    throw new ReembedError(
      'USAGE',
      `${address} is neither Elasticsearch nor OpenSearch: its root names no version`,
      {
        option: 'target',
      },
    )
  }
  const product = body.version.distribution === 'opensearch' ? 'opensearch' : 'elasticsearch'
  return { product, version: 100 * Number(major) + Number(minor) }
}

function indexOf({ product }: Server, dimensions: number, extra: readonly FlatColumn[], reembed: object) {
  const embedding =
    product === 'elasticsearch'
      ? { type: 'dense_vector', dims: dimensions, index: true, similarity: 'cosine' }
      : {
          type: 'knn_vector',
          dimension: dimensions,
          space_type: 'cosinesimil',
          method: { name: 'hnsw', engine: 'lucene' },
        }
  return {
    settings: {
      index: {
        refresh_interval: '-1',
        number_of_replicas: 0,
        ...(product === 'opensearch' && { knn: true }),
      },
    },
    mappings: {
      _meta: { reembed },
      properties: {
        embedding,
        ...elasticProperties(extra),
      },
    },
  }
}

function* linesOf(
  batch: ShardBatch,
  dimensions: number,
  hasBase64: boolean,
): Generator<{ readonly id: string; readonly line: string }, void, undefined> {
  for (const [row, record] of [...metadataOf(batch)].entries()) {
    const id = batch.ids[row] ?? ''
    const vector = batch.vectors.subarray(row * dimensions, (row + 1) * dimensions)
    const embedding = hasBase64 ? `"${bigEndian(vector)}"` : floatArray(vector)
    yield {
      id,
      line: `{"index":{"_id":${JSON.stringify(id)}}}\n{"embedding":${embedding}${members(record)}}\n`,
    }
  }
}

const bigEndian = (vector: Float32Array): string =>
  Buffer.from(vector.slice().buffer).swap32().toString('base64')

/** A vector as it was sent: numbers, or base64. */
export function vectorOf(value: readonly number[] | string): Float32Array {
  if (typeof value !== 'string') return Float32Array.from(value)
  return new Float32Array(new Uint8Array(Buffer.from(value, 'base64').swap32()).buffer)
}
