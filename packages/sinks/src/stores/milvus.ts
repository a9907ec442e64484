// Milvus and Zilliz Cloud by their client for Node. Rows are upserted into a collection without an
// index; the index is built, and the collection loaded into memory, afterwards.
//
//   reembed_loads   a collection with one row for each target: its load, run and the hash of the run
//   <name>_<run>    the target
//   <name>          an alias (milvus.io/docs/manage-aliases.md)
//   <name>_<run>_w<load>_<run>   an alias that a load writes through, see `writeAlias`
//
// The primary key is the id of the document, so a shard that is written again replaces its rows.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { MILVUS_ID_BYTES, MILVUS_LIMITS, MILVUS_STRING_BYTES, problemsOf } from '@reembed/export'
import type { CarriedValue, RefusedRow } from '@reembed/protocol'
import type { FlatColumn, ShardBatch } from '@reembed/shard'
import { deadlines, ReembedError, type RetryOptions, withRetries } from '@reembed/shared'
import { droppedRecord, heldRecord, prepareRecorded, type TargetRecord } from '../load/target-record.ts'
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
import { buildIndex, flushRows, loadIntoMemory } from './milvus-build.ts'
import {
  connectMilvus,
  isMissing,
  type MilvusClient,
  type MilvusConnection,
  type Row,
} from './milvus-connection.ts'
import { milvusTexts } from './milvus-filter.ts'

const LOADS = 'reembed_loads'
/** Milvus accepts gRPC messages up to 64 MiB (proxy.grpc.serverMaxRecvSize). */
const UPSERT_BYTES = 8 * 2 ** 20
/** Ids in one request, each up to 1 KiB. */
const IDS_AT_ONCE = 1_000
const MAX_DIMENSIONS = 32_768
/** A load that writes a run into a target. */
interface Writer {
  readonly target: string
  readonly load: string
  readonly run: string
}

/** Between two reads of the record of a load. */
const POLL_MS = 500
const DATA_TYPE = { string: 'VarChar', int32: 'Int32', int64: 'Int64', double: 'Double', boolean: 'Bool' }

/** Opens a server, see `connectMilvus`. */
export const openMilvus = async (url: string): Promise<VectorStore> => milvusStore(await connectMilvus(url))

export function milvusStore(connection: MilvusConnection): VectorStore {
  const { call, ask, address } = connection
  const has = async (collection_name: string, options?: RetryOptions): Promise<boolean> =>
    (await ask(client => client.listCollections(), options)).data.some(({ name }) => name === collection_name)

  async function requireLoads(options: RetryOptions): Promise<void> {
    const fields = [
      { name: 'target', data_type: 'VarChar', max_length: MILVUS_ID_BYTES, is_primary_key: true },
      ...['load', 'run', 'shards_sha256'].map(name => ({ name, data_type: 'VarChar', max_length: 100 })),
      // A collection needs a vector.
      { name: 'none', data_type: 'FloatVector', dim: 2 },
    ]
    if (!(await has(LOADS, options))) await create({ collection_name: LOADS, fields }, options)
    await buildIndex(connection, { collection_name: LOADS, field_name: 'none', metric_type: 'L2' }, options)
  }

  /** Creates a collection. False if another process did, see `collectionOf`. */
  async function create(
    collection: { readonly collection_name: string; readonly fields: readonly object[] },
    options: RetryOptions,
  ): Promise<boolean> {
    try {
      await ask(client => client.createCollection(collection), options)
      return true
    } catch (error) {
      if (await has(collection.collection_name, options)) return false
      // Milvus Lite refuses the name before it lists the collection.
      await sleep(POLL_MS, undefined, options).catch(() => options.signal?.throwIfAborted())
      if (await has(collection.collection_name, options)) return false
      throw error
    }
  }

  async function readRecord(target: string, options?: RetryOptions): Promise<TargetRecord | undefined> {
    const { data } = await ask(
      client =>
        client.get({
          collection_name: LOADS,
          ids: [target],
          output_fields: ['load', 'run', 'shards_sha256'],
          consistency_level: 'Strong',
        }),
      options,
    )
    const [found] = data as readonly { load: string; run: string; shards_sha256: string }[]
    return found && { load: found.load, run: found.run, shardsSha256: found.shards_sha256 }
  }

  const putRecord = (
    target: string,
    { load, run, shardsSha256: shards_sha256 }: TargetRecord,
    options?: RetryOptions,
  ) =>
    ask(
      client =>
        client.upsert({
          collection_name: LOADS,
          data: [{ target, load, run, shards_sha256, none: [0, 0] }],
        }),
      options,
    )

  async function prepare({ name, target, manifest, extra }: Target, signal?: AbortSignal): Promise<string> {
    const { run, model } = manifest
    if (model.dimensions > MAX_DIMENSIONS || model.dimensions < 2) {
      throw new ReembedError(
        'USAGE',
        `Milvus supports 2 to ${MAX_DIMENSIONS} dimensions, these vectors have ${model.dimensions}: use another vector store`,
      )
    }
    const options = { signal }
    if (await has(name, options)) {
      throw new ReembedError(
        'USAGE',
        `'${name}' at ${address} is a collection, and searches need an alias of that name: choose another name`,
        { option: 'name' },
      )
    }
    await requireLoads(options)
    const load = await prepareRecorded(
      { target, manifest },
      {
        address,
        async create() {
          const collection = collectionOf(target, manifest, extra)
          const isNew = !(await has(target, options)) && (await create(collection, options))
          // A user without the right to list aliases could not close the target at the end.
          await aliasesOf(target, options)
          return isNew
        },
        hasRows: () => hasRows(target, options),
        read: () => readRecord(target, options),
        put: record => putRecord(target, record, options),
        wait: { forMs: deadlines().sink.answerMs, everyMs: POLL_MS },
      },
      signal,
    )
    await openTo({ target, load, run }, options)
    return load
  }

  async function hasRows(collection_name: string, options: RetryOptions): Promise<boolean> {
    await flushRows(connection, collection_name, options)
    const { data } = await ask(client => client.getCollectionStatistics({ collection_name }), options)
    return Number(data.row_count) > 0
  }

  /** Calls `work` unless another process has done the same: it then fails, and `isDone` holds. */
  async function once(
    work: Parameters<typeof ask>[0],
    isDone: () => Promise<boolean>,
    options?: RetryOptions,
  ): Promise<void> {
    if (await isDone()) return
    await ask(work, options).catch(async (error: unknown) => {
      if (!(await isDone())) throw error
    })
  }

  const openTo = ({ target, load, run }: Writer, options?: RetryOptions): Promise<void> => {
    const alias = writeAlias(target, load, run)
    const isOpen = async (): Promise<boolean> => (await current(alias, options)) === target
    return once(client => client.createAlias({ alias, collection_name: target }), isOpen, options)
  }

  const aliasesOf = async (collection_name: string, options?: RetryOptions): Promise<readonly string[]> =>
    (await ask(client => client.listAliases({ collection_name }), options)).aliases

  /** Closes a target to all loads, except the one that writes through `kept`. */
  async function close(target: string, options?: RetryOptions, kept?: string): Promise<void> {
    for (const alias of (await aliasesOf(target, options)).filter(
      alias => isWriteAlias(target, alias) && alias !== kept,
    ))
      await once(
        client => client.dropAlias({ alias }),
        async () => (await current(alias, options)) === undefined,
        options,
      )
  }

  async function write(
    { target, manifest, extra }: Target,
    { load, rows }: Pick<ShardWrite, 'load' | 'rows'>,
    options?: RetryOptions,
  ): Promise<readonly RefusedRow[]> {
    const to = { target, load, run: manifest.run }
    const refused: RefusedRow[] = []
    for await (const batch of rows()) {
      const problems = problemsOf(batch, extra, MILVUS_LIMITS)
      for (const [row, problem] of problems)
        refused.push({ id: batch.ids[row] ?? '', reason: `Milvus cannot store ${problem}` })
      const data = rowsOf(batch, extra, manifest.model.dimensions).filter((_, row) => !problems.has(row))
      for (const part of requestsOf(data)) {
        // The client writes each request as JSON, for a log of its own, also where nothing logs it.
        const upsert = () =>
          whileOpen(to, (client, collection_name) =>
            client.upsert({ collection_name, data: part, toJSON: () => collection_name }),
          )
        await withRetries(upsert, options)
      }
    }
    return refused
  }

  /** Calls `work` with the alias of a load, once: the caller repeats. */
  const whileOpen = <T>(
    { target, load, run }: Writer,
    work: (client: MilvusClient, alias: string) => Promise<T>,
  ): Promise<T> => {
    const alias = writeAlias(target, load, run)
    return call(client => work(client, alias)).catch(async (error: unknown) => {
      // A missing alias is no failure that passes.
      if (error instanceof ReembedError && error.retry === 'requeue') throw error
      // The client reports a missing alias without a code.
      throw (await pointed(call, alias)) === undefined ? notHeld(target, load, address) : error
    })
  }

  /**
   * A filter for the rows with these ids. With `ids` the client quotes nothing: an id with a quote
   * would end the list, and could select any row.
   */
  const withIds = async (ids: readonly string[], options?: RetryOptions): Promise<string> =>
    `id in [${(await milvusTexts(work => ask(work, options), ids)).join(',')}]`

  async function remove(to: Writer, ids: readonly string[], options?: RetryOptions): Promise<void> {
    const kept = ids.filter(id => Buffer.byteLength(id) <= MILVUS_ID_BYTES)
    if (kept.length === 0) return
    const filter = await withIds(kept, options)
    const work = () => whileOpen(to, (client, collection_name) => client.delete({ collection_name, filter }))
    await withRetries(work, options)
  }

  async function update(
    target: Target,
    { load, shards, removed }: TargetUpdate,
    options?: RetryOptions,
  ): Promise<RefusedByShard> {
    const { run, shardsSha256 } = target.manifest
    if (heldRecord(await readRecord(target.target, options))?.load !== load)
      throw notHeld(target.target, load, address)
    const to = { target: target.target, load, run }
    await close(target.target, options, writeAlias(target.target, load, run))
    await openTo(to, options)
    await putRecord(target.target, { load, run, shardsSha256 }, options)
    const refused = new Map<number, readonly RefusedRow[]>()
    for await (const { shard, rows } of shards()) {
      const rejected = await write(target, { load, rows }, options)
      if (rejected.length === 0) continue
      refused.set(shard, rejected)
      await remove(
        to,
        Array.from(rejected, ({ id }) => id),
        options,
      )
    }
    for await (const ids of removed()) await remove(to, ids, options)
    await close(target.target, options)
    return refused
  }

  const current = (name: string, options?: RetryOptions): Promise<string | undefined> =>
    pointed(work => ask(work, options), name)

  return {
    kind: 'milvus',
    address,
    identifiers: true,
    compared: () => 'bits',
    prepare,
    write,
    update,
    holds: async target => heldRecord(await readRecord(target))?.load,
    async finish({ target, manifest: { model } }, options) {
      await close(target, options)
      await flushRows(connection, target, options)
      const metric_type = model.normalized ? 'IP' : 'COSINE'
      const index = { collection_name: target, field_name: 'embedding', metric_type }
      await buildIndex(connection, index, options)
    },
    async count(target) {
      if (!(await has(target))) return undefined
      const { data } = await ask(client =>
        client.query({
          collection_name: target,
          output_fields: ['count(*)'],
          consistency_level: 'Strong',
        }),
      )
      return Number(data[0]?.['count(*)'])
    },
    async read(target, ids) {
      const found = new Map<string, Float32Array>()
      for (let from = 0; from < ids.length; from += IDS_AT_ONCE) {
        const filter = await withIds(ids.slice(from, from + IDS_AT_ONCE))
        const { data } = await ask(client =>
          client.query({
            collection_name: target,
            filter,
            output_fields: ['id', 'embedding'],
            consistency_level: 'Strong',
          }),
        )
        for (const { id, embedding } of data)
          found.set(String(id), Float32Array.from(embedding as readonly number[]))
      }
      return found
    },
    current: name => current(name),
    async switchTo(name, target, signal) {
      const options = { signal }
      // Every search of an alias fails whose collection is not in memory.
      await loadIntoMemory(connection, target, options)
      const alias = { alias: name, collection_name: target }
      const exists = (await current(name, options)) !== undefined
      await once(
        client => (exists ? client.alterAlias(alias) : client.createAlias(alias)),
        async () => (await current(name, options)) === target,
        options,
      )
    },
    async drop(target) {
      const exists = await has(target)
      if (exists) requireUnused(target, address, await aliasesOf(target))
      // The record first: a later load must not take the record of this one for its own.
      const isRecorded = await has(LOADS)
      const before = isRecorded ? await readRecord(target) : undefined
      if (isRecorded) await putRecord(target, droppedRecord())
      if (!exists) return
      // Milvus refuses to drop a collection that has an alias.
      await close(target)
      await ask(client => client.dropCollection({ collection_name: target })).catch(
        async (error: unknown) => {
          // The reply of an earlier attempt was lost.
          if (isMissing(error)) return
          const aliases = await aliasesOf(target)
          // Searches were switched to the target after the check above: it keeps its record.
          if (aliases.length > 0 && before) await putRecord(target, before)
          requireUnused(target, address, aliases)
          throw error
        },
      )
    },
    async [Symbol.asyncDispose]() {
      await connection[Symbol.asyncDispose]()
    },
  }
}

/** The collection that an alias points to; undefined if there is no such alias. */
async function pointed(ask: MilvusConnection['call'], alias: string): Promise<string | undefined> {
  try {
    // The client checks for a collection name that the request does not have.
    return (await ask(client => client.describeAlias({ alias, collection_name: alias }))).collection
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/**
 * The collection of a target. Milvus takes a repeated creation for a success when all is equal to
 * the first one, the description included (rootcoord, `Collection.Equal`), so that two processes
 * would create one target. With a description of its own only one of them does, also when its reply
 * was lost.
 */
const collectionOf = (collection_name: string, { model }: Target['manifest'], extra: Target['extra']) => ({
  collection_name,
  description: `created by reembed, request ${randomUUID()}`,
  fields: [
    { name: 'id', data_type: 'VarChar', max_length: MILVUS_ID_BYTES, is_primary_key: true },
    { name: 'embedding', data_type: 'FloatVector', dim: model.dimensions },
    ...extra.map(fieldOf),
  ],
})

const fieldOf = ({ name, type, nullable }: FlatColumn): object => ({
  name,
  data_type: DATA_TYPE[type],
  nullable,
  ...(type === 'string' && { max_length: MILVUS_STRING_BYTES }),
})

function rowsOf(
  { ids, vectors, extra }: ShardBatch,
  columns: readonly FlatColumn[],
  dimensions: number,
): Row[] {
  const fields = columns.map(({ name }) => [name, extra.get(name) ?? []] as const)
  return ids.map((id, row) => {
    const values: Record<string, unknown> = {
      id,
      embedding: vectors.subarray(row * dimensions, (row + 1) * dimensions),
    }
    for (const [name, column] of fields) values[name] = exactly(column[row] ?? null)
    return values
  })
}

/** An int64 is sent as its digits, so that the client does not round it. */
const exactly = (value: CarriedValue): unknown => (typeof value === 'bigint' ? String(value) : value)

/** Rows in requests of about `UPSERT_BYTES`: texts are of any length. */
function* requestsOf(rows: readonly Row[]): Generator<readonly Row[], void, undefined> {
  let [from, bytes] = [0, 0]
  for (const [at, row] of rows.entries()) {
    for (const value of Object.values(row))
      bytes +=
        typeof value === 'string'
          ? Buffer.byteLength(value)
          : value instanceof Float32Array
            ? value.byteLength
            : 8
    if (bytes < UPSERT_BYTES && at + 1 < rows.length) continue
    yield rows.slice(from, at + 1)
    ;[from, bytes] = [at + 1, 0]
  }
}
