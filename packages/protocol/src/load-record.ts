// What a run's vectors are in besides the output. `loads/<n>.json` is the history of the vector
// stores of an output: runs loaded, the name that searches use switched, targets dropped. While a
// load runs, `runs/<run>/loads/<load>/` has one record for each shard that the vector store has
// taken, so that the next attempt continues with the others. `runs/<run>/load-orders/<load>.json`
// tells workers, whose jobs only name the load, what to write and where.

import {
  count,
  filledText,
  is,
  isRunId,
  list,
  loadedShardKey,
  loadedShardPrefix,
  loadKey,
  loadOrderKey,
  loadOrderPrefix,
  mapConcurrent,
  oneOf,
  optional,
  positive,
  ReembedError,
  record,
  text,
} from '@reembed/shared'
import { objectKind, type Store } from '@reembed/store'
import { type Attribution, attributionFields, stamped } from './attribution.ts'
import type { Manifest } from './manifest.ts'

/** A table, collection or index in a vector store that holds one run. */
export interface LoadTarget {
  /** The URL of the vector store, without credentials. */
  readonly address: string
  /** The name that searches use: a view, an alias or a tag. */
  readonly name: string
  /** The table, collection or index of the run. */
  readonly target: string
  readonly run: string
}

/** What was found in a target after its load. */
export interface LoadProof {
  /**
   * The id that the vector store holds for this load; a target that is created again has another.
   */
  readonly load: string
  /** See Manifest. */
  readonly shardsSha256: string
  readonly shards: number
  /** Rows that the vector store counts: the rows of the run without the refused ones. */
  readonly rows: number
  /** Rows that the vector store cannot hold; `readLoadedShards` lists them with their reasons. */
  readonly refused: number
  /** Vectors that were read back by id. */
  readonly sampled: number
  /** How the vectors that were read back equal those of the run: bit by bit, or by cosine. */
  readonly compared: 'bits' | 'cosine'
  /** Of a target that held an earlier run, and took only what differs from it. */
  readonly updated?: LoadUpdate | undefined
}

/** What a target of an earlier run took to hold a later one. */
export interface LoadUpdate {
  /** The earlier run. */
  readonly from: string
  /** Rows that were added or changed. */
  readonly written: number
  /** Rows that were deleted; every id was read back, and is absent. */
  readonly deleted: number
}

/** One entry of the history of the vector stores of an output. */
export interface LoadRecord extends LoadTarget, Attribution {
  readonly number: number
  /**
   * `switch`: searches use the target. `drop`: the target is deleted. `update`: the target holds
   * neither run as a whole until the `load` that follows.
   */
  readonly action: 'load' | 'update' | 'switch' | 'drop'
  /** Of a load. */
  readonly proof?: LoadProof | undefined
  /** Of a switch: the target that searches used before; undefined for the first. */
  readonly from?: string | undefined
  /** Of a switch that follows the current version: its number. A switch back has none. */
  readonly version?: number | undefined
}

/** A row that a vector store cannot hold. */
export interface RefusedRow {
  readonly id: string
  readonly reason: string
}

/** A shard that a vector store has taken. */
export interface LoadedShard {
  readonly shard: number
  /** Rows written. Invariant: rows + refused.length = the rows of the shard. */
  readonly rows: number
  readonly refused: readonly RefusedRow[]
}

const ACTIONS: readonly LoadRecord['action'][] = ['load', 'update', 'switch', 'drop']

const runId = is(value => typeof value === 'string' && isRunId(value))

const loadRecords = objectKind<LoadRecord>({
  noun: 'a record of a vector store that reembed wrote',
  shape: record<LoadRecord>({
    number: positive,
    action: oneOf(ACTIONS),
    address: filledText,
    name: filledText,
    target: filledText,
    run: runId,
    proof: optional(
      record<LoadProof>({
        load: filledText,
        shardsSha256: text,
        shards: count,
        rows: count,
        refused: count,
        sampled: count,
        compared: oneOf(['bits', 'cosine']),
        updated: optional(record<LoadUpdate>({ from: runId, written: count, deleted: count })),
      }),
    ),
    from: optional(filledText),
    version: optional(positive),
    ...attributionFields,
  }),
  check({ number, action, proof }, key) {
    if (loadKey(number) !== key) return `it contains record ${number}`
    return action === 'load' && proof === undefined ? 'it records a load without its proof' : undefined
  },
})

/**
 * Yields the history of the vector stores of an output, newest first.
 * @param concurrency records that are read at a time
 */
export function readLoadRecords(store: Store, concurrency = 1): AsyncGenerator<LoadRecord, void, undefined> {
  const read = async ({ key }: { readonly key: string }): Promise<LoadRecord> => {
    const found = await loadRecords.read(store, key)
    if (found) return found
    throw new ReembedError('CORRUPT', `${key} in ${store.url} was deleted while it was read: restore it`)
  }
  return mapConcurrent(store.list('loads/'), read, { concurrency })
}

/** Appends a record under the next free number, with the present time. */
export async function putLoadRecord(
  store: Store,
  entry: Omit<LoadRecord, 'number' | 'at'>,
): Promise<LoadRecord> {
  let number = 1
  for await (const last of readLoadRecords(store)) {
    number = last.number + 1
    break
  }
  while (true) {
    const written = stamped({ ...entry, number })
    if ((await loadRecords.put(store, loadKey(number), written)) === 'created') return written
    number += 1
  }
}

const loadedShards = objectKind<LoadedShard>({
  noun: 'a record of a loaded shard that reembed wrote',
  shape: record<LoadedShard>({
    shard: count,
    rows: count,
    refused: list(record<RefusedRow>({ id: text, reason: filledText })),
  }),
})

/** A load that has begun. */
export interface LoadOrder extends LoadTarget, Pick<Attribution, 'at' | 'by'> {
  /** See `LoadProof`. */
  readonly load: string
}

const loadOrders = objectKind<LoadOrder>({
  noun: 'the order of a load that reembed wrote',
  shape: record<LoadOrder>({
    load: filledText,
    address: filledText,
    name: filledText,
    target: filledText,
    run: runId,
    at: attributionFields.at,
    by: attributionFields.by,
  }),
  check: ({ run, load }, key) => (loadOrderKey(run, load) === key ? undefined : `it orders the load ${load}`),
})

/** Records that a load has begun, put-if-absent. */
export const putLoadOrder = (store: Store, order: Omit<LoadOrder, 'at'>): Promise<'created' | 'exists'> =>
  loadOrders.put(store, loadOrderKey(order.run, order.load), stamped(order))

/** @throws ReembedError RUN_NOT_FOUND for a load that was not ordered, or whose run was deleted */
export async function requireLoadOrder(store: Store, run: string, load: string): Promise<LoadOrder> {
  const order = await loadOrders.read(store, loadOrderKey(run, load))
  if (order) return order
  throw new ReembedError(
    'RUN_NOT_FOUND',
    `${store.url} has no load ${load} of run ${run}: load the run again`,
  )
}

/** Yields the loads of a run that have begun. */
export async function* readLoadOrders(store: Store, run: string): AsyncGenerator<LoadOrder, void, undefined> {
  for await (const { key } of store.list(loadOrderPrefix(run))) {
    const order = await loadOrders.read(store, key)
    if (order) yield order
  }
}

/** Records that a vector store has taken a shard, put-if-absent. */
export const putLoadedShard = (
  store: Store,
  { run, shards }: Pick<Manifest, 'run' | 'shards'>,
  load: string,
  loaded: LoadedShard,
): Promise<'created' | 'exists'> =>
  loadedShards.put(store, loadedShardKey(run, load, loaded.shard, shards), loaded)

/** The record of a shard that a vector store has taken; undefined if there is none. */
export const readLoadedShard = (
  store: Store,
  { run, shards }: Pick<Manifest, 'run' | 'shards'>,
  load: string,
  shard: number,
): Promise<LoadedShard | undefined> => loadedShards.read(store, loadedShardKey(run, load, shard, shards))

/**
 * Yields the shards that a vector store has taken in a load, in order.
 * @param known numbers of shards that are not read
 */
export async function* readLoadedShards(
  store: Store,
  { run, shards }: Pick<Manifest, 'run' | 'shards'>,
  load: string,
  known?: ReadonlySet<number>,
): AsyncGenerator<LoadedShard, void, undefined> {
  for await (const { key } of store.list(loadedShardPrefix(run, load))) {
    if (known?.has(Number(/part-(\d+)/.exec(key)?.[1]))) continue
    const found = await loadedShards.read(store, key)
    if (found !== undefined && loadedShardKey(run, load, found.shard, shards) === key) yield found
  }
}
