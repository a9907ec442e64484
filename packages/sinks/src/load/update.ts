// Brings the target that searches use to the current version in place: rows that were added or
// changed are written, rows that were removed are deleted. Both runs have vectors of one recipe, so
// a search that meets rows of both answers correctly.
//
//   record `update` -> write and delete -> count, compare, read the deleted ids -> record `load`
//
// An update that was interrupted leaves the record `update`: each row of the target is then of the
// earlier run or of the later one. The next update writes what differs between its run and either
// of them, so it completes the interrupted one, undoes it, or continues to a third run.

import { type Changes, findChanges } from '@reembed/evaluate'
import { exportedRows, exportedShards, type RowsOptions } from '@reembed/export'
import {
  type LoadRecord,
  type Manifest,
  putLoadedShard,
  putLoadRecord,
  readCurrent,
  readLoadedShards,
  readLoadRecordsOf,
  readManifest,
  sameRecipe,
} from '@reembed/protocol'
import { batched, canonical, ReembedError, withRetries } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { compareRows, sampleOfBatch } from './compare.ts'
import { type LoadOptions, type LoadOutcome, SHOWN_REFUSED } from './options.ts'
import { prove, recordLoad } from './prove.ts'
import { isNotHeld, type RefusedByShard, type Target, type VectorStore } from './vector-store.ts'

/** A target in use, and the runs that its rows are of. */
export interface UpdatableTarget {
  readonly target: string
  readonly load: string
  /**
   * The other runs that rows of the target may be of: none if it holds the run, several after an
   * update that was interrupted.
   */
  readonly before: readonly Manifest[]
  /** Whether an update to this run was interrupted. */
  readonly isInterrupted: boolean
}

const IDS_AT_ONCE = 1_000
/** Changed rows that are compared, besides the sample of all rows. */
const COMPARED_ROWS = 1_024
/** Runs between that of the target and the current one. */
const MAX_STEPS = 100
/** Times that an update is repeated because another one has closed the target. */
const UPDATE_REPEATS = 3

/**
 * The target that an update can bring to a run, or why the run must be loaded as a whole.
 * @throws ReembedError USAGE if the run is not the current version: searches would see it
 */
export async function updatableTarget(
  source: Store,
  manifest: Manifest,
  vectors: VectorStore,
  name: string,
): Promise<UpdatableTarget | string> {
  const current = await readCurrent(source)
  if (current?.run !== manifest.run) {
    throw new ReembedError(
      'USAGE',
      `run ${manifest.run} is not the current version of ${source.url}, and an update changes what searches use: publish it first, or load it as a whole`,
      { option: 'update' },
    )
  }
  const target = await vectors.current(name)
  if (target === undefined) return `searches use no target of '${name}' yet`
  const records = (await readLoadRecordsOf(source, vectors, name)).filter(
    record => record.target === target && record.action !== 'switch',
  )
  const settled = records.findIndex(({ action }) => action !== 'update')
  const [held, interrupted] = [records[settled], records.slice(0, Math.max(0, settled))]
  if (held?.action !== 'load' || held.proof === undefined) return `no load of ${target} is recorded`
  const { load, refused, shardsSha256 } = held.proof
  const isInterrupted = interrupted[0]?.run === manifest.run
  const isHeld = held.run === manifest.run
  if (isHeld && interrupted.length === 0) return { target, load, before: [], isInterrupted }
  if (refused > 0) return `${target} lacks ${refused} refused rows`
  const before: Manifest[] = []
  for (const run of new Set([held, ...interrupted.toReversed()].map(record => record.run))) {
    const found = await earlierRun(source, manifest, { run, target })
    if (typeof found === 'string') return found
    if (run === held.run && found.shardsSha256 !== shardsSha256)
      return `${target} was loaded from other shards of run ${run}`
    if (run !== manifest.run) before.push(found)
  }
  return { target, load, before, isInterrupted }
}

/** The run that a target holds, or why an update cannot begin with it. */
async function earlierRun(
  source: Store,
  manifest: Manifest,
  { run, target }: { readonly run: string; readonly target: string },
): Promise<Manifest | string> {
  if (run === manifest.run) return manifest
  const before = await readManifest(source, run)
  if (before === undefined) return `run ${run}, which ${target} holds, was deleted`
  if (
    !sameRecipe(before, manifest) ||
    canonical(before.layout ?? null) !== canonical(manifest.layout ?? null)
  )
    return `run ${run}, which ${target} holds, has another recipe`
  if (!(await hasReused(source, manifest, run)) && !(await hasReused(source, before, manifest.run)))
    return `runs ${manifest.run} and ${run}, which ${target} holds, did not reuse vectors of each other`
  return before
}

/** Whether the vectors of equal texts come from `from`, directly or by the runs between. */
async function hasReused(source: Store, manifest: Manifest, from: string): Promise<boolean> {
  let run = manifest.baseRun?.run
  for (let step = 0; step < MAX_STEPS && run !== undefined && run !== from; step += 1)
    run = (await readManifest(source, run))?.baseRun?.run
  return run === from
}

type UpdateOptions = Pick<LoadOptions, 'by' | 'signal' | 'onProgress'> & Pick<RowsOptions, 'columns'>

/**
 * Brings a target to a run, and proves that it holds exactly the run. Another process may do the
 * same: the one that ends first closes the target, and the other finds what it left.
 * @throws ReembedError UNBALANCED if the vector store does not hold the run afterwards
 */
export async function updateTarget(
  source: Store,
  vectors: VectorStore,
  target: Target,
  updatable: UpdatableTarget,
  options: UpdateOptions,
): Promise<LoadOutcome> {
  let found = updatable
  for (let repeats = 0; ; repeats += 1) {
    try {
      return await updateOnce(source, vectors, target, found, options)
    } catch (error) {
      if (!isNotHeld(error) || repeats === UPDATE_REPEATS) throw error
      const now = await updatableTarget(source, target.manifest, vectors, target.name)
      if (typeof now === 'string' || now.target !== found.target || now.load !== found.load) throw error
      found = now
    }
  }
}

async function updateOnce(
  source: Store,
  vectors: VectorStore,
  target: Target,
  { load, before, isInterrupted }: UpdatableTarget,
  { columns, by, signal, onProgress = () => {} }: UpdateOptions,
): Promise<LoadOutcome> {
  const { manifest } = target
  const at = { address: vectors.address, name: target.name, target: target.target, run: manifest.run }
  const { marks, written, removed } = await changesFrom(source, before, manifest, signal)
  const report = (step: 'write' | 'compare', waitingFor?: string): void =>
    onProgress({ step, shards: manifest.shards, rows: written, waitingFor })
  const options = { signal, onWait: (reason: string): void => report('write', reason) }
  const reading: RowsOptions = { dimensions: manifest.model.dimensions, columns, verify: true, signal }
  async function* shards() {
    for await (const shard of exportedShards(source, manifest, { marks }))
      yield { shard: shard.whole.shard, rows: () => exportedRows(source, shard, reading) }
  }
  const isHeld = before.length === 0
  if (!isInterrupted && !isHeld) await putLoadRecord(source, { ...at, action: 'update', by })
  report('write')
  const update = () => vectors.update(target, { load, shards, removed }, options)
  const refused = isHeld ? await refusedBefore(source, manifest, load) : await withRetries(update, options)
  for await (const { whole } of exportedShards(source, manifest, { marks })) {
    const rows = refused.get(whole.shard) ?? []
    const loaded = { shard: whole.shard, rows: whole.rows - rows.length, refused: rows }
    await putLoadedShard(source, manifest, load, loaded)
  }
  report('compare')
  const listed = [...refused.values()].flat()
  await compareChanged(shards(), vectors, target, { refused: new Set(listed.map(({ id }) => id)), signal })
  const deleted = await proveDeleted(removed(), vectors, target, signal)
  const proof = await prove(source, vectors, target, {
    load,
    shards: manifest.shards,
    rows: manifest.totals.rows - listed.length,
    refused: listed.length,
    updated: { from: (before.at(-1) ?? manifest).run, written, deleted },
    signal,
  })
  const record: LoadRecord = await recordLoad(source, at, proof, by)
  const shown = listed.slice(0, SHOWN_REFUSED)
  return { record, proof: record.proof ?? proof, refused: shown, written: { shards: 0, rows: written } }
}

/** The refused rows of a run that the target holds. */
async function refusedBefore(source: Store, manifest: Manifest, load: string): Promise<RefusedByShard> {
  const loaded = await Array.fromAsync(readLoadedShards(source, manifest, load))
  return new Map(loaded.map(({ shard, refused }) => [shard, refused]))
}

/** What differs between a run and any of the earlier ones. */
async function changesFrom(
  source: Store,
  before: readonly Manifest[],
  manifest: Manifest,
  signal: AbortSignal | undefined,
) {
  const all: Changes[] = []
  for (const earlier of before) all.push(await findChanges(source, earlier, manifest, { signal }))
  const marks = Array.from({ length: manifest.shards }, (_, shard) =>
    all.map(changes => changes.marks[shard]).reduce(union, undefined),
  )
  async function* removedIds(): AsyncGenerator<string, void, undefined> {
    for (const changes of all)
      for await (const { change, id } of changes.rows()) if (change === 'removed') yield id
  }
  return {
    marks,
    written: marks.reduce((sum, mark) => sum + (mark?.reduce((n, byte) => n + (byte ? 1 : 0), 0) ?? 0), 0),
    /** An id that several earlier runs have is repeated. */
    removed: () => batched(removedIds(), IDS_AT_ONCE),
  }
}

const union = (a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined =>
  a && b ? a.map((byte, row) => byte | (b[row] ?? 0)) : (a ?? b)

async function compareChanged(
  shards: ReturnType<Parameters<VectorStore['update']>[1]['shards']>,
  vectors: VectorStore,
  { target, manifest }: Target,
  { refused, signal }: { readonly refused: ReadonlySet<string>; readonly signal: AbortSignal | undefined },
): Promise<void> {
  let compared = 0
  for await (const { shard, rows } of shards) {
    for await (const batch of rows()) {
      if (compared >= COMPARED_ROWS) return
      const sample = sampleOfBatch(batch, refused)
      const place = `shard ${shard} of run ${manifest.run}`
      if (sample.size > 0) compared += await compareRows(sample, vectors, { target, manifest, place, signal })
    }
  }
}

/** Reads every deleted id, and returns their number. */
async function proveDeleted(
  removed: AsyncIterable<readonly string[]>,
  vectors: VectorStore,
  { target, manifest }: Target,
  signal: AbortSignal | undefined,
): Promise<number> {
  let deleted = 0
  for await (const ids of removed) {
    const found = await withRetries(() => vectors.read(target, ids), { signal })
    for (const id of found.keys()) {
      throw new ReembedError(
        'UNBALANCED',
        `document ${JSON.stringify(id)}, which run ${manifest.run} lacks, is in ${target} at ${vectors.address}: another program wrote it; drop the target and load again`,
      )
    }
    deleted += ids.length
  }
  return deleted
}
