// Milvus and Zilliz Cloud by their client for Node. Rows are upserted into a collection without an
// index; the index is built, and the collection loaded into memory, afterwards.
//
//   reembed_loads   a collection with one row for each target: its load, run and the hash of the run
//   <name>_<run>    the target
//   <name>          an alias (milvus.io/docs/manage-aliases.md)
//   <name>_<run>_w<load>_<run>   an alias that a load writes through, see `writeAlias`
//
// The primary key is the id of the document, so a shard that is written again replaces its rows.

import { MILVUS_ID_BYTES, MILVUS_LIMITS, MILVUS_STRING_BYTES, problemsOf } from '@reembed/export'
import type { CarriedValue, RefusedRow } from '@reembed/protocol'
import type { FlatColumn, ShardBatch } from '@reembed/shard'
import {
  deadlines,
  importClient,
  messageOf,
  ReembedError,
  type RetryOptions,
  requireEncrypted,
  startWait,
  unlessAborted,
  withRetries,
} from '@reembed/shared'
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

interface Status {
  readonly code?: number
  readonly error_code: number | string
  readonly reason: string
}

type Row = Readonly<Record<string, unknown>>

/**
 * The part of the client that a load uses; the package is optional, so its types are not imported.
 * A method rejects, or resolves with a status that is not Success.
 */
interface MilvusClient {
  readonly connectPromise: Promise<unknown>
  listCollections(): Promise<{ readonly data: readonly { readonly name: string }[] }>
  createCollection(data: object): Promise<Status>
  dropCollection(data: object): Promise<Status>
  createIndex(data: object): Promise<Status>
  describeIndex(data: object): Promise<{ readonly index_descriptions: readonly unknown[] }>
  loadCollectionSync(data: object): Promise<Status>
  flushSync(data: object): Promise<unknown>
  upsert(data: object): Promise<unknown>
  delete(data: object): Promise<unknown>
  get(data: object): Promise<{ readonly data: readonly Row[] }>
  query(data: object): Promise<{ readonly data: readonly Row[] }>
  describeAlias(data: object): Promise<{ readonly collection: string }>
  describeCollection(data: object): Promise<{
    readonly schema: {
      readonly fields: readonly {
        readonly name: string
        readonly data_type: string
        readonly is_primary_key: boolean
      }[]
    }
  }>
  createAlias(data: object): Promise<Status>
  dropAlias(data: object): Promise<Status>
  listAliases(data: object): Promise<{ readonly aliases: readonly string[] }>
  getCollectionStatistics(data: object): Promise<{ readonly data: { readonly row_count: string | number } }>
  alterAlias(data: object): Promise<Status>
  closeConnection(): Promise<unknown>
}

export interface MilvusConnection {
  readonly client: MilvusClient
  /** The URL without user and password. */
  readonly address: string
  /** The reply of a call; an error of reembed for one that fails. */
  call<T>(work: () => Promise<T>): Promise<T>
  /**
   * The same, repeated while the server is overloaded or the call is lost. `work` must be
   * idempotent.
   */
  ask<T>(work: () => Promise<T>): Promise<T>
}

interface MilvusPackage {
  readonly MilvusClient: new (config: object) => MilvusClient
}

const PACKAGES = '@zilliz/milvus2-sdk-node'
const LOADS = 'reembed_loads'
/** Milvus accepts gRPC messages up to 64 MiB (proxy.grpc.serverMaxRecvSize). */
const UPSERT_BYTES = 8 * 2 ** 20
/** Ids in one request, each up to 1 KiB. */
const IDS_AT_ONCE = 1_000
const MAX_DIMENSIONS = 32_768
/** Longer than the 5 minutes that servers may require. */
const KEEPALIVE_MS = 330_000
/** Between two reads of the record of a load. */
const POLL_MS = 500
const DATA_TYPE = { string: 'VarChar', int32: 'Int32', int64: 'Int64', double: 'Double', boolean: 'Bool' }
/** Error codes of Milvus (pkg/util/merr): a collection or an alias that does not exist. */
const NOT_FOUND: ReadonlySet<number> = new Set([100, 1_600])
/** Not ready, timeout, over a quota or rate limit. */
const PASSING: ReadonlySet<number> = new Set([1, 2, 3, 5, 8, 9])

const serverOf = (url: string): URL => new URL(url.replace(/^milvus\+/, ''))

/** The URL without user and password. */
export function milvusAddress(url: string): string {
  const { protocol, host, pathname } = serverOf(url)
  return `milvus+${protocol}//${host}${pathname.replace(/\/$/, '')}`
}

/**
 * Connects to a server: `milvus+https://host:19530/database`. The variable MILVUS_TOKEN, or user
 * and password in the URL, has the key.
 */
export async function connectMilvus(url: string): Promise<MilvusConnection> {
  const { protocol, host, username, password, pathname } = serverOf(url)
  const { MILVUS_TOKEN: token } = process.env
  if (username !== '' || token) requireEncrypted(url)
  const { MilvusClient } = await importClient<MilvusPackage>(
    PACKAGES,
    () => import('@zilliz/milvus2-sdk-node' as string) as Promise<MilvusPackage>,
  )
  const address = milvusAddress(url)
  const { replyMs } = deadlines().sink
  const client = new MilvusClient({
    address: host,
    ssl: protocol === 'https:',
    token: username === '' ? token : `${decodeURIComponent(username)}:${decodeURIComponent(password)}`,
    database: pathname.replace(/^\/|\/$/g, '') || undefined,
    timeout: replyMs,
    // `withRetries` repeats.
    maxRetries: 0,
    // The default of 10 s is more often than a server of gRPC's core accepts, which then closes the
    // connection with all calls (grpc.github.io/grpc/core/md_doc_keepalive.html: 5 minutes). Each
    // call has its own limit of time.
    channelOptions: { 'grpc.keepalive_time_ms': KEEPALIVE_MS, 'grpc.keepalive_permit_without_calls': 0 },
    logLevel: 'error',
  })
  // Reported by the first call.
  client.connectPromise.catch(() => {})

  // A server that never answered is reported at once: its URL may be wrong.
  let hasAnswered = false
  async function call<T>(work: () => Promise<T>): Promise<T> {
    using wait = startWait(`the vector store at ${address}`)
    try {
      const reply = await work()
      hasAnswered = true
      const { status = reply } = reply as { readonly status?: unknown }
      const { error_code: code = 'Success' } = status as Status
      if (code !== 'Success' && code !== 0) throw status
      return reply
    } catch (error) {
      wait.gaveUp()
      throw milvusError(error, address)
    }
  }

  const isLost = (error: unknown): boolean =>
    error instanceof ReembedError && error.retry === 'requeue' && hasCode(error.cause)
  async function ask<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await call(work)
    } catch (error) {
      if (!hasAnswered || !isLost(error)) throw error
      return await withRetries(() => call(work))
    }
  }

  return { client, call, ask, address }
}

/** Opens a server, see `connectMilvus`. */
export const openMilvus = async (url: string): Promise<VectorStore> => milvusStore(await connectMilvus(url))

export function milvusStore({ client, call, ask, address }: MilvusConnection): VectorStore {
  const has = async (collection_name: string): Promise<boolean> =>
    (await ask(() => client.listCollections())).data.some(({ name }) => name === collection_name)

  async function requireLoads(): Promise<void> {
    const fields = [
      { name: 'target', data_type: 'VarChar', max_length: MILVUS_ID_BYTES, is_primary_key: true },
      ...['load', 'run', 'shards_sha256'].map(name => ({ name, data_type: 'VarChar', max_length: 100 })),
      // A collection needs a vector.
      { name: 'none', data_type: 'FloatVector', dim: 2 },
    ]
    if (!(await has(LOADS))) await create(LOADS, fields)
    await index(LOADS, 'none', 'L2')
  }

  /** Creates a collection. False if another process did: the server refuses a name twice. */
  async function create(collection_name: string, fields: readonly object[]): Promise<boolean> {
    try {
      await ask(() => client.createCollection({ collection_name, fields }))
      return true
    } catch (error) {
      if (await has(collection_name)) return false
      throw error
    }
  }

  async function index(collection_name: string, field_name: string, metric_type: string): Promise<void> {
    const hasIndex = async (): Promise<boolean> => {
      const found = await client.describeIndex({ collection_name }).catch(() => undefined)
      return (found?.index_descriptions ?? []).length > 0
    }
    if (!(await hasIndex())) {
      await ask(() =>
        client.createIndex({ collection_name, field_name, index_type: 'AUTOINDEX', metric_type }),
      ).catch(async (error: unknown) => {
        // Another process has created it since.
        if (!(await hasIndex())) throw error
      })
    }
    await ask(() => client.loadCollectionSync({ collection_name }))
  }

  async function readRecord(target: string): Promise<TargetRecord | undefined> {
    const { data } = await ask(() =>
      client.get({
        collection_name: LOADS,
        ids: [target],
        output_fields: ['load', 'run', 'shards_sha256'],
        consistency_level: 'Strong',
      }),
    )
    const [found] = data as readonly { load: string; run: string; shards_sha256: string }[]
    return found && { load: found.load, run: found.run, shardsSha256: found.shards_sha256 }
  }

  const putRecord = (target: string, { load, run, shardsSha256: shards_sha256 }: TargetRecord) =>
    ask(() =>
      client.upsert({
        collection_name: LOADS,
        data: [{ target, load, run, shards_sha256, none: [0, 0] }],
      }),
    )

  async function prepare({ name, target, manifest, extra }: Target, signal?: AbortSignal): Promise<string> {
    const { run, model } = manifest
    if (model.dimensions > MAX_DIMENSIONS || model.dimensions < 2) {
      throw new ReembedError(
        'USAGE',
        `Milvus supports 2 to ${MAX_DIMENSIONS} dimensions, these vectors have ${model.dimensions}: use another vector store`,
      )
    }
    if (await has(name)) {
      throw new ReembedError(
        'USAGE',
        `'${name}' at ${address} is a collection, and searches need an alias of that name: choose another name`,
        { option: 'name' },
      )
    }
    await requireLoads()
    const load = await prepareRecorded(
      { target, manifest },
      {
        address,
        async create() {
          const isNew = !(await has(target)) && (await createTarget(target, manifest, extra))
          // A user without the right to list aliases could not close the target at the end.
          await aliasesOf(target)
          return isNew
        },
        hasRows: () => hasRows(target),
        read: () => readRecord(target),
        put: record => putRecord(target, record),
        wait: { forMs: deadlines().sink.answerMs, everyMs: POLL_MS },
      },
      signal,
    )
    await openTo(target, load, run)
    return load
  }

  /** False if another process has created the target: that one records the load. */
  async function createTarget(
    target: string,
    { model }: Target['manifest'],
    extra: Target['extra'],
  ): Promise<boolean> {
    const fields = [
      { name: 'id', data_type: 'VarChar', max_length: MILVUS_ID_BYTES, is_primary_key: true },
      { name: 'embedding', data_type: 'FloatVector', dim: model.dimensions },
      ...extra.map(fieldOf),
    ]
    return create(target, fields)
  }

  async function hasRows(collection_name: string): Promise<boolean> {
    await ask(() => client.flushSync({ collection_names: [collection_name] }))
    const { data } = await ask(() => client.getCollectionStatistics({ collection_name }))
    return Number(data.row_count) > 0
  }

  /** Calls `work` unless another process has done the same: it then fails, and `isDone` holds. */
  async function once(work: () => Promise<unknown>, isDone: () => Promise<boolean>): Promise<void> {
    if (await isDone()) return
    await ask(work).catch(async (error: unknown) => {
      if (!(await isDone())) throw error
    })
  }

  const openTo = (target: string, load: string, run: string): Promise<void> => {
    const alias = writeAlias(target, load, run)
    const isOpen = async (): Promise<boolean> => (await current(alias)) === target
    return once(() => client.createAlias({ alias, collection_name: target }), isOpen)
  }

  const aliasesOf = async (collection_name: string): Promise<readonly string[]> =>
    (await ask(() => client.listAliases({ collection_name }))).aliases

  /** Closes a target to all loads, except the one that writes through `kept`. */
  async function close(target: string, kept?: string): Promise<void> {
    for (const alias of (await aliasesOf(target)).filter(
      alias => isWriteAlias(target, alias) && alias !== kept,
    ))
      await once(
        () => client.dropAlias({ alias }),
        async () => (await current(alias)) === undefined,
      )
  }

  async function write(
    { target, manifest, extra }: Target,
    { load, rows }: Pick<ShardWrite, 'load' | 'rows'>,
    options?: RetryOptions,
  ): Promise<readonly RefusedRow[]> {
    const to = { target, load, run: manifest.run }
    const refused: RefusedRow[] = []
    const size = Math.max(1, Math.floor(UPSERT_BYTES / (4 * manifest.model.dimensions + 1_024)))
    for await (const batch of rows()) {
      const problems = problemsOf(batch, extra, MILVUS_LIMITS)
      for (const [row, problem] of problems)
        refused.push({ id: batch.ids[row] ?? '', reason: `Milvus cannot store ${problem}` })
      const data = rowsOf(batch, extra, manifest.model.dimensions).filter((_, row) => !problems.has(row))
      for (let from = 0; from < data.length; from += size) {
        const part = data.slice(from, from + size)
        // The client writes each request as JSON, for a log of its own, also where nothing logs it.
        const upsert = () =>
          whileOpen(to, collection_name =>
            client.upsert({ collection_name, data: part, toJSON: () => collection_name }),
          )
        await withRetries(upsert, options)
      }
    }
    return refused
  }

  /** Calls `work` with the alias of a load. */
  const whileOpen = <T>(
    { target, load, run }: { readonly target: string; readonly load: string; readonly run: string },
    work: (alias: string) => Promise<T>,
  ): Promise<T> => {
    const alias = writeAlias(target, load, run)
    return call(() => work(alias)).catch(async (error: unknown) => {
      // The client reports a missing alias without a code.
      throw (await current(alias)) === undefined ? notHeld(target, load, address) : error
    })
  }

  async function remove(
    to: Parameters<typeof whileOpen>[0],
    ids: readonly string[],
    options?: RetryOptions,
  ): Promise<void> {
    const kept = ids.filter(id => Buffer.byteLength(id) <= MILVUS_ID_BYTES)
    if (kept.length === 0) return
    const work = () => whileOpen(to, collection_name => client.delete({ collection_name, ids: kept }))
    await withRetries(work, options)
  }

  async function update(
    target: Target,
    { load, shards, removed }: TargetUpdate,
    options?: RetryOptions,
  ): Promise<RefusedByShard> {
    const { run, shardsSha256 } = target.manifest
    if (heldRecord(await readRecord(target.target))?.load !== load)
      throw notHeld(target.target, load, address)
    await close(target.target, writeAlias(target.target, load, run))
    await openTo(target.target, load, run)
    const to = { target: target.target, load, run }
    await putRecord(target.target, { load, run, shardsSha256 })
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
    await close(target.target)
    return refused
  }

  async function current(name: string): Promise<string | undefined> {
    try {
      // The client checks for a collection name that the request does not have.
      return (await ask(() => client.describeAlias({ alias: name, collection_name: name }))).collection
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  return {
    kind: 'milvus',
    address,
    identifiers: true,
    compared: () => 'bits',
    prepare,
    write,
    update,
    holds: async target => heldRecord(await readRecord(target))?.load,
    // The server continues after a call is given up; a later call finds the index.
    finish: ({ target, manifest: { model } }, { signal } = {}) =>
      unlessAborted(
        signal,
        (async () => {
          await close(target)
          await ask(() => client.flushSync({ collection_names: [target] }))
          await index(target, 'embedding', model.normalized ? 'IP' : 'COSINE')
        })(),
      ),
    async count(target) {
      if (!(await has(target))) return undefined
      const { data } = await ask(() =>
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
        const { data } = await ask(() =>
          client.get({
            collection_name: target,
            ids: ids.slice(from, from + IDS_AT_ONCE),
            output_fields: ['id', 'embedding'],
            consistency_level: 'Strong',
          }),
        )
        for (const { id, embedding } of data)
          found.set(String(id), Float32Array.from(embedding as readonly number[]))
      }
      return found
    },
    current,
    async switchTo(name, target) {
      // Every search of an alias fails whose collection is not in memory.
      await ask(() => client.loadCollectionSync({ collection_name: target }))
      const alias = { alias: name, collection_name: target }
      const exists = (await current(name)) !== undefined
      await once(
        () => (exists ? client.alterAlias(alias) : client.createAlias(alias)),
        async () => (await current(name)) === target,
      )
    },
    async drop(target) {
      const exists = await has(target)
      if (exists) requireUnused(target, address, await aliasesOf(target))
      // The record first: a later load must not take the record of this one for its own.
      if (await has(LOADS)) await putRecord(target, droppedRecord())
      if (!exists) return
      // Milvus refuses to drop a collection that has an alias.
      await close(target)
      await ask(() => client.dropCollection({ collection_name: target }))
    },
    async [Symbol.asyncDispose]() {
      await client.closeConnection()
    },
  }
}

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

const codeOfStatus = (error: unknown): number | undefined => (error as Status | undefined)?.code

/** Whether a call failed because a collection or an alias does not exist. */
export const isMissing = (error: unknown): boolean =>
  error instanceof ReembedError && NOT_FOUND.has(codeOfStatus(error.cause) ?? -1)

/** Errors of the client itself, which pass by no repetition, have no code. */
const hasCode = (error: unknown): boolean =>
  typeof (error as { readonly code?: unknown } | undefined)?.code === 'number'

function milvusError(error: unknown, address: string): unknown {
  if (error instanceof ReembedError) return error
  // The client rejects with a status, with a reply that has one, or with an error.
  const { status: cause = error } = error as { readonly status?: unknown }
  const { reason } = cause as Partial<Status>
  const message = reason ?? messageOf(cause)
  const code = codeOfStatus(cause) ?? -1
  if (/UNAUTHENTICATED|permission.denied|auth check failure|privilege/i.test(message)) {
    return new ReembedError(
      'STORE_ACCESS_DENIED',
      `${address} denies access: ${message}; check the token or the password, and its rights`,
      { cause },
    )
  }
  const isStatus = reason !== undefined
  const passes = isStatus ? PASSING.has(code) && /not ready|timeout|rate|limit|quota/i.test(message) : true
  if (passes) {
    return new ReembedError('STORE_UNREACHABLE', `${address} did not take a request: ${message}`, {
      retry: 'requeue',
      cause,
    })
  }
  return new ReembedError('USAGE', `${address} refuses a request: ${message}`, { cause })
}
