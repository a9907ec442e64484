// Switches the name that searches use to the run of the current version, and back.

import {
  DEFAULT_TARGET_NAME,
  type LoadRecord,
  loadOfRun,
  loadOfTarget,
  type Manifest,
  putLoadRecord,
  readCurrent,
  readLoadRecordsOf,
  readManifest,
  type Version,
} from '@reembed/protocol'
import { ReembedError, withRetries } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { VectorStore } from './vector-store.ts'

export interface SwitchOptions {
  /** The name that searches use; default `embeddings`. */
  readonly name?: string | undefined
  /** Returns to the target that searches used before the current one. */
  readonly back?: boolean | undefined
  /** Recorded with the switch. */
  readonly by?: string | undefined
  readonly reason?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface SwitchOutcome {
  readonly name: string
  readonly target: string
  readonly run: string
  /** The target before; undefined for the first switch. */
  readonly from: string | undefined
  /** False if searches used the target already. */
  readonly changed: boolean
  /** What queries must be embedded with after the switch, and before. */
  readonly manifest: Manifest
  readonly before: Manifest | undefined
}

/**
 * Points the name that searches use to the run of the current version, or with `back` to the target
 * before. Searches use one of the two, each as a whole. Idempotent.
 *
 * @throws ReembedError RUN_NOT_FOUND if nothing is published, if the current version was not loaded
 *   or was changed since, or if there is no target to return to
 * @throws ReembedError UNBALANCED if the target does not hold the rows of its load
 * @throws ReembedError USAGE, reason `switched_meanwhile`, if another switch was later: that one
 *   records itself, and this one does not
 * @throws ReembedError STORE_UNREACHABLE, STORE_ACCESS_DENIED
 */
export async function switchStore(
  source: Store,
  vectors: VectorStore,
  { name = DEFAULT_TARGET_NAME, back = false, by, reason, signal }: SwitchOptions = {},
): Promise<SwitchOutcome> {
  const { address } = vectors
  const records = await readLoadRecordsOf(source, vectors, name)
  // Not repeated: a server that does not answer the first request may have another address.
  const from = await vectors.current(name)
  const current = back ? undefined : await requireCurrent(source)
  const wanted = current
    ? targetOfCurrent(source, records, current, { address, name })
    : targetBefore(records, from, name)
  const { target, run, proof } = wanted
  const manifest = await manifestOf(source, run)
  if (proof?.shardsSha256 !== manifest.shardsSha256) {
    throw new ReembedError(
      'UNBALANCED',
      `${target} was loaded from other shards than run ${run} of ${source.url} has now: drop it and load the run again`,
    )
  }
  const rows = await withRetries(() => vectors.count(target), { signal })
  if (rows !== proof.rows) {
    throw new ReembedError(
      'UNBALANCED',
      `${address} counts ${rows ?? 'no'} rows in ${target}, and its load wrote ${proof.rows}: another program changed it; drop the target and load again`,
    )
  }
  const beforeRun = records.find(record => record.target === from)?.run
  const outcome = {
    name,
    target,
    run,
    from,
    changed: from !== target,
    manifest,
    before: beforeRun === undefined ? undefined : await readManifest(source, beforeRun),
  }
  // Also where it is the target: an alias of Elasticsearch may be on other indexes besides.
  await withRetries(() => vectors.switchTo(name, target, signal), { signal })
  const held = await withRetries(() => vectors.current(name), { signal })
  if (held !== target) {
    throw new ReembedError(
      'USAGE',
      `another switch of '${name}' at ${address} was later, and searches use ${held ?? 'nothing'}: switch again if they should use ${target}`,
      { reason: 'switched_meanwhile' },
    )
  }
  // Also after a switch that was interrupted before its record: `from` is then the last record's.
  const last = records.find(({ action }) => action === 'switch')
  if (last?.target !== target || (current && last.version !== current.version))
    await putLoadRecord(source, {
      action: 'switch',
      address,
      name,
      target,
      run,
      from: from !== target ? from : last?.target === target ? last.from : last?.target,
      version: current?.version,
      by,
      reason,
    })
  return outcome
}

async function requireCurrent(source: Store): Promise<Version> {
  const current = await readCurrent(source)
  if (current) return current
  throw new ReembedError('RUN_NOT_FOUND', `nothing is published in ${source.url} yet`, {
    reason: 'nothing_published',
  })
}

/** The load of the current version. */
function targetOfCurrent(
  source: Store,
  records: readonly LoadRecord[],
  { version, run }: Version,
  { address, name }: Pick<LoadRecord, 'address' | 'name'>,
): LoadRecord {
  const found = loadOfRun(records, run)
  if (found) return found
  throw new ReembedError(
    'RUN_NOT_FOUND',
    `version ${version} of ${source.url} (run ${run}) is not loaded into '${name}' at ${address}: load it first`,
    { reason: 'run_not_loaded' },
  )
}

/** The load of the target that was in use before the present one. */
function targetBefore(records: readonly LoadRecord[], present: string | undefined, name: string): LoadRecord {
  const switched = records.find(({ action, target }) => action === 'switch' && target === present)
  const found = switched?.from === undefined ? undefined : loadOfTarget(records, switched.from)
  if (found) return found
  throw new ReembedError(
    'RUN_NOT_FOUND',
    switched?.from === undefined
      ? `'${name}' has used no other target before${present === undefined ? '' : ` ${present}`}: load a run and switch to it`
      : `${switched.from}, which '${name}' used before, was dropped: load its run again, and publish it`,
  )
}

async function manifestOf(source: Store, run: string): Promise<Manifest> {
  const manifest = await readManifest(source, run)
  if (manifest) return manifest
  throw new ReembedError('RUN_NOT_FOUND', `run ${run} in ${source.url} is not finished or was deleted`, {
    reason: 'run_not_found',
  })
}
