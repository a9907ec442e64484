// Deletes targets from a vector store: those of a run, or old ones. Nothing else deletes one.

import {
  contentOfTarget,
  DEFAULT_TARGET_NAME,
  type LoadRecord,
  oldTargets,
  putLoadRecord,
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
  /** The target that searches use. */
  readonly current: string | undefined
  /** Old targets that stay, newest first. */
  readonly kept: readonly string[]
  /** The records of those that were deleted. */
  readonly dropped: readonly LoadRecord[]
}

/**
 * Deletes the targets that searches used before, or that were loaded before searches were last
 * switched, except the newest `keep` ones. The target that searches use stays, and so does one that
 * was loaded since. Idempotent.
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
  const old = oldTargets(records, current)
  const dropped: LoadRecord[] = []
  // The oldest first: a drop that is interrupted leaves the newer ones.
  for (const { target, run } of old.slice(keep).toReversed()) {
    // Searches were switched meanwhile.
    if ((await vectors.current(name)) !== current) break
    await vectors.drop(target)
    dropped.push(await putLoadRecord(source, { action: 'drop', address, name, target, run, by, reason }))
  }
  const gone = new Set(dropped.map(({ target }) => target))
  const kept = old.map(({ target }) => target).filter(target => !gone.has(target))
  return { address, name, current, kept, dropped }
}
