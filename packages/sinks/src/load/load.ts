// Loads a finished run into a vector store, in a target of its own. The records of loaded shards in
// the output decide what is left to do, so a load that was killed continues when it is called
// again.
//
//   prepare the target -> write the missing shards -> build the index -> count and compare -> record

import {
  type LoadedShard,
  type LoadTarget,
  type Manifest,
  putLoadedShard,
  type RefusedRow,
  readLoadedShards,
} from '@reembed/protocol'
import { mapConcurrent } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { columnsOf, columnsUnder, type RowsOptions, type RunShard, rowsOf, shardsOf } from '../read-run.ts'
import { type LoadOptions, type LoadOutcome, type LoadProgress, SHOWN_REFUSED } from './options.ts'
import { prove, recordLoad } from './prove.ts'
import { withRetries } from './retries.ts'
import { DEFAULT_NAME, recordsOf, wholeTarget } from './targets.ts'
import { updatableTarget, updateTarget } from './update.ts'
import type { Target, VectorStore } from './vector-store.ts'

/**
 * Loads a finished run into a vector store and proves that it holds exactly the run: counts its
 * rows, and compares a sample of ids and vectors. Idempotent; a load that was stopped continues.
 * Searches do not use the run before `switchStore`.
 *
 * @throws ReembedError USAGE if the target holds something else, or the vector store cannot hold
 *   the run
 * @throws ReembedError STORE_UNREACHABLE, STORE_ACCESS_DENIED
 * @throws ReembedError CORRUPT if a shard does not match the manifest
 * @throws ReembedError UNBALANCED if the vector store does not hold what was written
 * @throws the reason of `signal`
 */
export async function loadRun(
  source: Store,
  manifest: Manifest,
  vectors: VectorStore,
  { name = DEFAULT_NAME, concurrency = 2, update, by, signal, onProgress = () => {} }: LoadOptions = {},
): Promise<LoadOutcome> {
  const { run } = manifest
  const columns = columnsOf(manifest, { identifiers: vectors.identifiers })
  const records = await recordsOf(source, vectors, name)
  const target: Target = {
    name,
    target: wholeTarget(records, name, run),
    manifest,
    extra: columnsUnder(columns),
  }
  const updatable = update ? await updatableTarget(source, manifest, vectors, name) : undefined
  if (typeof updatable === 'object') {
    const inUse = { ...target, target: updatable.target }
    return updateTarget(source, vectors, inUse, updatable, { columns, by, signal, onProgress })
  }
  const load = await vectors.prepare(target, signal)
  const total = { shards: 0, rows: 0, refused: 0 }
  const done = new Set<number>()
  const shown: RefusedRow[] = []
  const add = ({ shard, rows, refused }: LoadedShard): void => {
    done.add(shard)
    total.shards += 1
    total.rows += rows
    total.refused += refused.length
    shown.push(...refused.slice(0, SHOWN_REFUSED - shown.length))
  }
  for await (const loaded of readLoadedShards(source, manifest, load)) add(loaded)
  const before = { ...total }
  const report = (step: LoadProgress['step'], waitingFor?: string): void =>
    onProgress({ step, shards: total.shards, rows: total.rows, waitingFor })
  const onWait = (reason: string): void => report('write', reason)

  const loaded = mapConcurrent(
    missingShards(source, manifest, done),
    (shard, signal) => loadShard(source, vectors, { target, columns, load, shard, signal, onWait }),
    { concurrency, signal },
  )
  for await (const shard of loaded) {
    add(shard)
    report('write')
  }
  report('index')
  await withRetries(() => vectors.finish(target, { signal, onWait }), { signal, onWait })
  report('compare')
  const proof = await prove(source, vectors, target, { load, ...total, signal })
  const at: LoadTarget = { address: vectors.address, name, target: target.target, run }
  const record = await recordLoad(source, at, proof, by)
  return {
    record,
    proof,
    refused: shown,
    notUpdated: updatable,
    written: { shards: total.shards - before.shards, rows: total.rows - before.rows },
  }
}

async function* missingShards(
  source: Store,
  manifest: Manifest,
  done: ReadonlySet<number>,
): AsyncGenerator<RunShard, void, undefined> {
  for await (const shard of shardsOf(source, manifest)) if (!done.has(shard.shard)) yield shard
}

/** Writes one shard, and records that the vector store has taken it. */
async function loadShard(
  source: Store,
  vectors: VectorStore,
  {
    target,
    columns,
    load,
    shard,
    signal,
    onWait,
  }: {
    readonly target: Target
    readonly columns: RowsOptions['columns']
    readonly load: string
    readonly shard: RunShard
    readonly signal: AbortSignal
    readonly onWait: (reason: string) => void
  },
): Promise<LoadedShard> {
  const { manifest } = target
  const options: RowsOptions = {
    dimensions: manifest.model.dimensions,
    columns,
    verify: true,
    signal,
  }
  const rows = () => rowsOf(source, shard, options)
  const write = { load, shard: shard.shard, rows }
  const retries = { signal, onWait }
  const refused = await withRetries(() => vectors.write(target, write, retries), retries)
  const loaded = { shard: shard.shard, rows: shard.rows - refused.length, refused }
  await putLoadedShard(source, manifest, load, loaded)
  return loaded
}
