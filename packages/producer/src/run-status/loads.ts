// Where a run is besides its output: the targets of vector stores that hold it, and loads that are
// in progress.

import {
  type LoadRecord,
  type LoadTarget,
  type Manifest,
  readLoadOrders,
  readLoadRecords,
} from '@reembed/protocol'
import { loadersOf, type QueueCounts, type RunPointer, storeKey, waitOfLoaders } from '@reembed/queue'
import { loadedShardPrefix, messageOf } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { QueueView } from './facts.ts'

/**
 * - `loading`: its shards are being written.
 * - `loaded`: the target holds the run, and searches use another one.
 * - `in_use`: searches use it.
 * - `updating`: rows of this run and of an earlier one are in the target.
 */
export type LoadState = 'loading' | 'loaded' | 'in_use' | 'updating'

/** A target of a vector store that holds a run, or will. */
export interface LoadStatus extends LoadTarget {
  readonly state: LoadState
  readonly shards: number
  readonly shardsDone: number
  /** Rows that the vector store counted; undefined before the proof. */
  readonly rows?: number | undefined
  /** Rows that the vector store cannot hold; undefined before the proof. */
  readonly refused?: number | undefined
  /** When it entered the state, in Unix milliseconds. */
  readonly sinceMs?: number | undefined
  /** Of a load in progress, by the rate of its shards. */
  readonly secondsLeft?: number | undefined
  /** Jobs of a load in progress; undefined without a queue. */
  readonly jobs?: QueueCounts | undefined
  /** Why a load in progress writes nothing, or why its workers fail. */
  readonly waitingFor?: string | undefined
}

/** Records that are read. Older targets are not listed. */
const MAX_RECORDS = 200
const READS = 8

/** The targets of a finished run, loads in progress first. */
export async function readLoads(
  store: Store,
  queue: QueueView | string | undefined,
  { run, shards }: Pick<Manifest, 'run' | 'shards'>,
): Promise<LoadStatus[]> {
  const records: LoadRecord[] = []
  for await (const record of readLoadRecords(store, READS)) if (records.push(record) === MAX_RECORDS) break
  // Whether an earlier load has ended is in a record that is not read.
  const sinceAt = records.length === MAX_RECORDS ? (records.at(-1)?.at ?? '') : ''
  const loads: LoadStatus[] = []
  for await (const { load, at, by: _, ...order } of readLoadOrders(store, run)) {
    const ended = records.find(
      ({ action, address, target, proof, at: endedAt = '' }) =>
        proof?.load === load ||
        (action === 'drop' && address === order.address && target === order.target && endedAt > (at ?? '')),
    )
    if (ended || (at ?? '') < sinceAt) continue
    const of = { output: store.url, run, load: { id: load, store: storeKey(order.address) } }
    const written = await readWritten(store, run, load, shards)
    loads.push({
      ...order,
      state: 'loading',
      shards,
      sinceMs: msOf(at),
      ...written,
      ...(await jobsOf(queue, of, order.address)),
    })
  }
  const isSame = (a: LoadRecord, b: LoadRecord): boolean => a.address === b.address && a.target === b.target
  for (const record of records) {
    const newest = records.find(other => other.action !== 'switch' && isSame(other, record))
    if (record !== newest || record.run !== run || record.action === 'drop') continue
    const { action, address, name, target, proof, at } = record
    const used = records.find(
      other => other.action === 'switch' && other.address === address && other.name === name,
    )
    const isUsed = used?.target === target
    loads.push({
      address,
      name,
      target,
      run,
      state: action === 'update' ? 'updating' : isUsed ? 'in_use' : 'loaded',
      shards,
      shardsDone: shards,
      rows: proof?.rows,
      refused: proof?.refused,
      sinceMs: msOf(action === 'load' && isUsed && used.run === run ? used.at : at),
    })
  }
  return loads
}

const msOf = (at: string | undefined): number | undefined => (at === undefined ? undefined : Date.parse(at))

/** How many shards are recorded, and the time that the others take at their rate. */
async function readWritten(store: Store, run: string, load: string, shards: number) {
  let [shardsDone, firstMs, lastMs] = [0, Number.POSITIVE_INFINITY, 0]
  for await (const { modifiedMs } of store.list(loadedShardPrefix(run, load))) {
    shardsDone += 1
    firstMs = Math.min(firstMs, modifiedMs ?? firstMs)
    lastMs = Math.max(lastMs, modifiedMs ?? lastMs)
  }
  const ms = lastMs - firstMs
  const secondsLeft =
    shardsDone > 1 && ms > 0 ? (ms * (shards - shardsDone)) / (shardsDone - 1) / 1_000 : undefined
  return { shardsDone, secondsLeft }
}

async function jobsOf(
  queue: QueueView | string | undefined,
  of: RunPointer,
  address: string,
): Promise<Pick<LoadStatus, 'jobs' | 'waitingFor'>> {
  if (queue === undefined || typeof queue === 'string') return { waitingFor: queue }
  try {
    const [jobs, loaders, failures] = await Promise.all([
      queue.counts(of),
      loadersOf(queue, of.output, address),
      queue.failures(of, 1),
    ])
    // Without a job, the process that called the load writes the shards.
    if (jobs.waiting + jobs.active + jobs.delayed + jobs.failed === 0) return { jobs }
    return { jobs, waitingFor: waitOfLoaders(loaders, address) ?? failures[0]?.reason }
  } catch (error) {
    return { waitingFor: messageOf(error) }
  }
}
