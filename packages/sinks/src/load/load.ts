// Loads a finished run into a vector store, in a target of its own. The records of loaded shards in
// the output decide what is left to do, so a load that was killed continues when it is called
// again.
//
//   prepare the target -> write the missing shards -> build the index -> count and compare -> record

import { columnsOf, columnsUnder, type RunShard, shardsOf } from '@reembed/export'
import {
  DEFAULT_TARGET_NAME,
  type LoadedShard,
  type Manifest,
  putLoadOrder,
  type RefusedRow,
  readLoadedShards,
  readLoadRecordsOf,
  wholeTarget,
} from '@reembed/protocol'
import { loadersOf } from '@reembed/queue'
import { mapConcurrent, withRetries } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { writtenByFleet } from './fleet.ts'
import { type LoadOptions, type LoadOutcome, type LoadProgress, SHOWN_REFUSED } from './options.ts'
import { prove, recordLoad } from './prove.ts'
import { updatableTarget, updateTarget } from './update.ts'
import type { Target, VectorStore } from './vector-store.ts'
import { writeShard } from './write-shard.ts'

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
  options: LoadOptions = {},
): Promise<LoadOutcome> {
  const { name = DEFAULT_TARGET_NAME, update, by, signal, onProgress = () => {} } = options
  const columns = columnsOf(manifest, { identifiers: vectors.identifiers })
  const records = await readLoadRecordsOf(source, vectors, name)
  const target: Target = {
    name,
    target: wholeTarget(records, name, manifest.run),
    manifest,
    extra: columnsUnder(columns),
  }
  const updatable = update ? await updatableTarget(source, manifest, vectors, name) : undefined
  if (typeof updatable === 'object') {
    const inUse = { ...target, target: updatable.target }
    return updateTarget(source, vectors, inUse, updatable, { columns, by, signal, onProgress })
  }
  return { ...(await loadWhole(source, vectors, target, options)), notUpdated: updatable }
}

/** Loads a run into a target of its own. */
async function loadWhole(
  source: Store,
  vectors: VectorStore,
  target: Target,
  { queue, concurrency = 2, by, signal, onProgress = () => {} }: LoadOptions,
): Promise<LoadOutcome> {
  const { name, manifest } = target
  const at = { address: vectors.address, name, target: target.target, run: manifest.run }
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
  const startedMs = performance.now()
  const report = (step: LoadProgress['step'], waitingFor?: string): void => {
    const written = total.shards - before.shards
    const left = (manifest.shards - total.shards) / written
    const leftMs = written > 0 ? (performance.now() - startedMs) * left : undefined
    onProgress({ step, shards: total.shards, rows: total.rows, leftMs, waitingFor })
  }
  const onWait = (reason: string): void => report('write', reason)
  const hasLoaders =
    queue && !vectors.embedded && (await loadersOf(queue, source.url, vectors.address)).length > 0
  const fleet = total.shards < manifest.shards && hasLoaders ? queue : undefined
  await putLoadOrder(source, { ...at, load, by })
  const written = fleet
    ? writtenByFleet(
        source,
        fleet,
        vectors,
        { manifest, load, target: target.target, done },
        { signal, onWait },
      )
    : mapConcurrent(
        missingShards(source, manifest, done),
        (shard, signal) => writeShard(source, vectors, { target, load, shard, signal, onWait }),
        { concurrency, signal },
      )
  report('write')
  for await (const shard of written) {
    add(shard)
    report('write')
  }
  report('index')
  await withRetries(() => vectors.finish(target, { signal, onWait }), { signal, onWait })
  report('compare')
  const proof = await prove(source, vectors, target, { load, ...total, signal })
  return {
    record: await recordLoad(source, at, proof, by),
    proof,
    refused: shown,
    written: {
      shards: total.shards - before.shards,
      rows: total.rows - before.rows,
      ...(queue && { byWorkers: fleet !== undefined }),
    },
  }
}

async function* missingShards(
  source: Store,
  manifest: Manifest,
  done: ReadonlySet<number>,
): AsyncGenerator<RunShard, void, undefined> {
  for await (const shard of shardsOf(source, manifest)) if (!done.has(shard.shard)) yield shard
}
