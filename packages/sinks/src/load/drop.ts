// Deletes targets from a vector store: those of a run, or old ones. Nothing else deletes one.

import {
  contentOfTarget,
  DEFAULT_TARGET_NAME,
  type LoadRecord,
  loadOfRun,
  oldTargets,
  putLoadRecord,
  readCurrent,
  readLoadRecordsOf,
  targetsToDrop,
} from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { SwitchOptions } from './switch.ts'
import type { VectorStore } from './vector-store.ts'

/**
 * Deletes the targets of a run, except one that searches use, and records that. Returns the last
 * record.
 * @throws ReembedError USAGE if searches use the only target
 * @throws ReembedError RUN_NOT_FOUND if the vector store has no target of the run
 */
export async function dropTarget(
  source: Store,
  vectors: VectorStore,
  run: string,
  { name = DEFAULT_TARGET_NAME, by, reason }: Pick<SwitchOptions, 'name' | 'by' | 'reason'> = {},
): Promise<LoadRecord> {
  const { address } = vectors
  const records = await readLoadRecordsOf(source, vectors, name)
  const used = await vectors.current(name)
  const targets = targetsToDrop(records, name, run)
  let dropped: LoadRecord | undefined
  for (const target of targets) {
    if (target === used) continue
    const exists = (await vectors.count(target)) !== undefined
    const action = contentOfTarget(records, target)?.action
    // Also after a drop that was interrupted before its record.
    if (!exists && action !== 'load' && action !== 'update') continue
    await vectors.drop(target)
    dropped = await putLoadRecord(source, { action: 'drop', address, name, target, run, by, reason })
  }
  if (dropped) return dropped
  if (used !== undefined && targets.includes(used)) {
    throw new ReembedError(
      'USAGE',
      `searches for '${name}' at ${address} use ${used}: switch to another run first`,
      { reason: 'target_in_use' },
    )
  }
  throw new ReembedError('RUN_NOT_FOUND', `${address} has no ${targets[0]}, which would hold run ${run}`)
}

export interface DroppedOld {
  readonly address: string
  readonly name: string
  /** The target that searches use; undefined if the name does not exist. Then no target is old. */
  readonly current: string | undefined
  /** Old targets that stay, newest first. */
  readonly kept: readonly string[]
  /** Old targets that a load or an update writes, or left when it was stopped. They stay. */
  readonly written: readonly string[]
  /** The records of those that were deleted. */
  readonly dropped: readonly LoadRecord[]
  /** Old targets that the vector store did not delete, and why. */
  readonly refused: readonly RefusedDrop[]
}

export interface RefusedDrop {
  readonly target: string
  readonly run: string
  readonly reason: string
}

/**
 * Deletes the targets that searches used before, or that were loaded before searches were last
 * switched, except the newest `keep` ones. These stay: the target that searches use, that of the
 * current version, one that was loaded since, and one that is being written. A target that the
 * vector store does not delete is reported, and delays no other. Idempotent.
 */
export async function dropOldTargets(
  source: Store,
  vectors: VectorStore,
  keep: number,
  { name = DEFAULT_TARGET_NAME, by, reason }: Pick<SwitchOptions, 'name' | 'by' | 'reason'> = {},
): Promise<DroppedOld> {
  const { address } = vectors
  const records = await readLoadRecordsOf(source, vectors, name)
  const current = await vectors.current(name)
  const dropped: LoadRecord[] = []
  const refused: RefusedDrop[] = []
  const written: string[] = []
  if (current === undefined) return { address, name, current, kept: [], written, dropped, refused }
  const version = await readCurrent(source)
  const ofVersion = version && loadOfRun(records, version.run)?.target
  const old: LoadRecord[] = []
  for (const record of oldTargets(records, new Set([current, ofVersion ?? current]))) {
    const isBusy = await unlessRefused(() => isWritten(vectors, records, record.target), record, refused)
    if (isBusy === true) written.push(record.target)
    if (isBusy === false) old.push(record)
  }
  // The oldest first: a drop that is interrupted leaves the newer ones.
  for (const record of old.slice(keep).toReversed()) {
    // Searches were switched meanwhile.
    if ((await vectors.current(name)) !== current) break
    const { target, run } = record
    const drop = async (): Promise<LoadRecord> => {
      await vectors.drop(target)
      return putLoadRecord(source, { action: 'drop', address, name, target, run, by, reason })
    }
    const done = await unlessRefused(drop, record, refused)
    if (done) dropped.push(done)
  }
  const gone = new Set([...dropped, ...refused].map(({ target }) => target))
  const kept = old.map(({ target }) => target).filter(target => !gone.has(target))
  return { address, name, current, kept, written, dropped, refused }
}

/**
 * Whether a load or an update writes a target, or was stopped: the newest record of what the target
 * holds is no proof of the load that it holds. Times of orders and records are of several clocks.
 */
async function isWritten(
  vectors: VectorStore,
  records: readonly LoadRecord[],
  target: string,
): Promise<boolean> {
  const load = await vectors.holds(target)
  return load !== undefined && load !== contentOfTarget(records, target)?.proof?.load
}

/** Calls `work`. If the vector store refuses that, lists the reason, and returns undefined. */
async function unlessRefused<T>(
  work: () => Promise<T>,
  { target, run }: LoadRecord,
  refused: RefusedDrop[],
): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof ReembedError) || !['USAGE', 'STORE_ACCESS_DENIED'].includes(error.code))
      throw error
    refused.push({ target, run, reason: error.message })
    return undefined
  }
}
