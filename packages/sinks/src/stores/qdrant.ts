// Qdrant by its REST API (api.qdrant.tech/api-reference). Points are upserted while the collection
// has no HNSW graph (m: 0), which is the fastest way that needs no more memory
// (qdrant.tech/documentation/tutorials/bulk-upload); the graph is built afterwards.
//
//   reembed_loads   a collection with one point for each target: its load, run and the hash of the run
//   <name>_<run>    the target
//   <name>          an alias
//   <name>_<run>_w<load>_<run>   an alias that a load writes through, see `writeAlias`
//
// A point id is a UUID that depends on the id of the document, so a shard that is written again
// replaces its own points. The payload has the id.

import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { floatArray, metadataOf, toJson } from '@reembed/export'
import type { ShardBatch } from '@reembed/shard'
import { createHttpClient, messageOf, ReembedError, type RetryOptions } from '@reembed/shared'
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

const LOADS = 'reembed_loads'
/** Qdrant refuses requests above 32 MiB (service.max_request_size_mb). */
const UPSERT_BYTES = 4 * 2 ** 20
/** What it says of more bytes, and of more points of an upsert than strict mode allows. */
const OVER_LIMIT = /larger than allowed|upsert limit/
/** The default of Qdrant (storage.hnsw_index.m). */
const HNSW_M = 16
const MAX_DIMENSIONS = 65_536
const POLL_MS = 200
/** For the record of a collection that another process has created. */
const RECORD_WAIT = { forMs: 2_000, everyMs: POLL_MS }
/** Any UUID that names this use (RFC 9562, UUID version 5). */
const NAMESPACE = Buffer.from('5f0d6a4e0f2b4cf29a6b6f3f6b1f8a2d', 'hex')

type AliasOptions = RetryOptions & { readonly expect?: readonly number[] }

interface Point {
  readonly vector: readonly number[]
  readonly payload: { readonly id: string }
}

/** Opens a server: `qdrant+https://host:6333`. The variable QDRANT_API_KEY has the key. */
export async function openQdrant(url: string): Promise<VectorStore> {
  const { QDRANT_API_KEY: key } = process.env
  const { address, request } = createHttpClient(url, key ? { 'api-key': key } : {})

  const collections = async (): Promise<ReadonlySet<string>> => {
    const { body } = await request('GET', '/collections')
    return new Set(body.result.collections.map(({ name }: { name: string }) => name))
  }
  const aliases = async (): Promise<ReadonlyMap<string, string>> => {
    const { body } = await request('GET', '/aliases')
    return new Map(
      body.result.aliases.map((alias: { alias_name: string; collection_name: string }) => [
        alias.alias_name,
        alias.collection_name,
      ]),
    )
  }
  /** A concurrent loader may have created the collection. */
  const create = (name: string, options: object) =>
    request('PUT', `/collections/${name}`, { json: options, expect: [409] })

  async function readRecord(target: string) {
    const { body } = await request('POST', `/collections/${LOADS}/points`, {
      json: { ids: [pointId(target)], with_payload: true },
      expect: [404],
    })
    return body.result?.[0]?.payload as TargetRecord | undefined
  }

  const putRecord = (payload: TargetRecord & { readonly target: string }, expect: readonly number[] = []) =>
    request('PUT', `/collections/${LOADS}/points?wait=true`, {
      json: { points: [{ id: pointId(payload.target), vector: [1], payload }] },
      expect,
    })

  async function count(target: string): Promise<number | undefined> {
    const { status, body } = await request('POST', `/collections/${target}/points/count`, {
      json: { exact: true },
      expect: [404],
    })
    return status === 404 ? undefined : body.result.count
  }

  async function prepare({ name, target, manifest }: Target, signal?: AbortSignal): Promise<string> {
    const { run, model } = manifest
    if (model.dimensions > MAX_DIMENSIONS) {
      throw new ReembedError(
        'USAGE',
        `Qdrant supports at most ${MAX_DIMENSIONS} dimensions, these vectors have ${model.dimensions}: use another vector store`,
      )
    }
    const existing = await collections()
    if (existing.has(name)) {
      throw new ReembedError(
        'USAGE',
        `'${name}' at ${address} is a collection, and searches need an alias of that name: choose another name`,
        { option: 'name' },
      )
    }
    if (!existing.has(LOADS)) await create(LOADS, { vectors: { size: 1, distance: 'Dot' } })
    const params = { size: model.dimensions, distance: model.normalized ? 'Dot' : 'Cosine' }
    const load = await prepareRecorded(
      { target, manifest },
      {
        address,
        create: async () =>
          !existing.has(target) &&
          (await create(target, { vectors: params, hnsw_config: { m: 0 } })).status !== 409,
        hasRows: async () => ((await count(target)) ?? 0) > 0,
        read: () => readRecord(target),
        put: record => putRecord({ target, ...record }),
        wait: RECORD_WAIT,
      },
      signal,
    )
    await openTo(target, load, run)
    return load
  }

  /** Searches see all actions at once, but one that fails does not undo those in front of it. */
  const changeAliases = (actions: readonly object[], options: AliasOptions = {}) =>
    request('POST', '/collections/aliases', { json: { actions }, ...options })

  /** Replaces an alias of that name. 404: the collection does not exist. */
  const createAlias = (alias_name: string, collection_name: string, options?: AliasOptions) =>
    changeAliases([{ create_alias: { collection_name, alias_name } }], options)

  async function openTo(target: string, load: string, run: string): Promise<void> {
    const { status } = await createAlias(writeAlias(target, load, run), target, { expect: [404] })
    if (status === 404) throw notHeld(target, load, address)
  }

  /** Closes a target to all loads, except the one that writes through `kept`. */
  async function close(target: string, options?: RetryOptions, kept?: string): Promise<void> {
    const open = [...(await aliases()).keys()].filter(alias => isWriteAlias(target, alias) && alias !== kept)
    if (open.length === 0) return
    // To delete one that another process has deleted is no error.
    await changeAliases(
      open.map(alias_name => ({ delete_alias: { alias_name } })),
      options,
    )
  }

  async function write({ target, manifest }: Target, { load, rows }: ShardWrite, options?: RetryOptions) {
    const path = `/collections/${writeAlias(target, load, manifest.run)}/points?wait=true`
    // Half as many after each request that is over a limit of the server, until the shard ends: the
    // limit may be lifted meanwhile, and the points of others be smaller.
    let pointsAtOnce = Number.POSITIVE_INFINITY
    /** False: the collection does not exist. */
    const upsert = async (points: readonly string[]): Promise<boolean> => {
      for (let at = 0; at < points.length; ) {
        const some = points.slice(at, at + pointsAtOnce)
        const text = { body: `{"points":[${some.join(',')}]}`, type: 'application/json' }
        const reply = await request('PUT', path, { text, expect: [404], ...options }).catch(
          (error: unknown) => {
            if (some.length === 1 || !OVER_LIMIT.test(messageOf(error))) throw error
            pointsAtOnce = Math.ceil(some.length / 2)
          },
        )
        if (reply?.status === 404) return false
        if (reply !== undefined) at += some.length
      }
      return true
    }
    for await (const batch of rows()) {
      for (const points of upsertsOf(batch, manifest.model.dimensions))
        if (!(await upsert(points))) throw notHeld(target, load, address)
    }
    return []
  }

  async function update(
    { target, manifest, ...rest }: Target,
    { load, shards, removed }: TargetUpdate,
    options?: RetryOptions,
  ): Promise<RefusedByShard> {
    const { run, shardsSha256 } = manifest
    if (heldRecord(await readRecord(target))?.load !== load) throw notHeld(target, load, address)
    await close(target, options, writeAlias(target, load, run))
    await openTo(target, load, run)
    await putRecord({ target, load, run, shardsSha256 })
    for await (const { shard, rows } of shards())
      await write({ target, manifest, ...rest }, { load, shard, rows }, options)
    const path = `/collections/${writeAlias(target, load, run)}/points/delete?wait=true`
    for await (const ids of removed()) {
      const json = { points: ids.map(pointId) }
      const { status } = await request('POST', path, { json, expect: [404], ...options })
      if (status === 404) throw notHeld(target, load, address)
    }
    await close(target, options)
    return new Map()
  }

  async function finish({ target }: Target, options: RetryOptions = {}): Promise<void> {
    await close(target, options)
    const build = () =>
      request('PATCH', `/collections/${target}`, { json: { hnsw_config: { m: HNSW_M } }, ...options })
    await build()
    // Green: no optimization is pending. Yellow: in progress. Grey: pending since a restart of the
    // server, until an update triggers it. Since 1.18.2 the reply comes before the new settings are
    // in use, and the status is that of the old ones for a moment, which the wait is longer than.
    while (true) {
      await sleep(POLL_MS, undefined, { signal: options.signal })
      const { body } = await request('GET', `/collections/${target}`, options)
      const { status, optimizer_status: optimizer } = body.result
      if (status === 'green') return
      if (status === 'grey') await build()
      if (status === 'red') {
        throw new ReembedError(
          'STORE_UNREACHABLE',
          `${target} at ${address} has the status red: ${JSON.stringify(optimizer)}; read the log of Qdrant`,
        )
      }
    }
  }

  return {
    kind: 'qdrant',
    address,
    identifiers: false,
    // Qdrant stores unit vectors under the distance Cosine.
    compared: ({ model }) => (model.normalized ? 'bits' : 'cosine'),
    prepare,
    write,
    update,
    finish,
    holds: async target => heldRecord(await readRecord(target))?.load,
    count,
    async read(target, ids) {
      const { body } = await request('POST', `/collections/${target}/points`, {
        json: { ids: ids.map(pointId), with_vector: true, with_payload: ['id'] },
      })
      return new Map(body.result.map(({ vector, payload }: Point) => [payload.id, Float32Array.from(vector)]))
    },
    current: async name => (await aliases()).get(name),
    async switchTo(name, target, signal) {
      // Not deleted before: if the collection is missing, searches keep what they use.
      await createAlias(name, target, { signal }).catch(async (error: unknown) => {
        if ((await collections()).has(target)) throw error
        throw new ReembedError('USAGE', `${address} has no ${target} any more: load the run again`)
      })
    },
    async drop(target) {
      // The server deletes the aliases of a collection with it.
      const named = [...(await aliases())].filter(([, collection]) => collection === target)
      requireUnused(
        target,
        address,
        named.map(([alias]) => alias),
      )
      // The record first: a later load must not take the record of this one for its own.
      await putRecord({ target, ...droppedRecord() }, [404])
      await request('DELETE', `/collections/${target}`, { expect: [404] })
    },
    async [Symbol.asyncDispose]() {},
  }
}

/** UUIDv5: SHA-1 of namespace and name, with the bits of version and variant. */
export function pointId(id: string): string {
  const digest = createHash('sha1').update(NAMESPACE).update(id).digest()
  digest.writeUInt8((digest.readUInt8(6) & 0x0f) | 0x50, 6)
  digest.writeUInt8((digest.readUInt8(8) & 0x3f) | 0x80, 8)
  return digest.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** The points of each upsert as JSON, below the limit of a request unless one point exceeds it. */
function* upsertsOf(batch: ShardBatch, dimensions: number): Generator<readonly string[], void, undefined> {
  let points: string[] = []
  let length = 0
  for (const [row, record] of [...metadataOf(batch)].entries()) {
    const id = batch.ids[row] ?? ''
    const vector = floatArray(batch.vectors.subarray(row * dimensions, (row + 1) * dimensions))
    const point = `{"id":"${pointId(id)}","vector":${vector},"payload":${toJson({ id, ...record })}}`
    points.push(point)
    length += point.length
    if (length >= UPSERT_BYTES) {
      yield points
      points = []
      length = 0
    }
  }
  if (points.length > 0) yield points
}
